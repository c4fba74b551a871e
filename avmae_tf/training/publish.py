"""Publishes SavedModels whole: a server that looks while one is written sees none, or all of it.

TensorFlow Serving takes a numbered folder with a `saved_model.pb` for a version. On a disk a folder
is filled under another name and renamed. An object store cannot rename a folder at once: there
`saved_model.pb` comes last, after everything else has been seen to be there.
"""

import contextlib
import os
import re
from collections.abc import Iterator

from avmae_tf.folders import files_below
from avmae_tf.storage import aside, copy_file, exists, gfile, is_remote, names_in
from avmae_tf.training.identity import SAVED_MODEL_FILE

VARIABLES_INDEX = 'variables/variables.index'


@contextlib.contextmanager
def appearing(folder: str) -> Iterator[str]:
    """A folder of this machine to fill; it becomes `folder` if the block ends without an error."""
    with aside(folder) as temporary:
        yield temporary
        if is_remote(folder):
            _upload(temporary, folder)
        else:
            os.rename(temporary, folder)


def _upload(source: str, target: str):
    files = sorted(files_below(source))
    last = [name for name in files if name == SAVED_MODEL_FILE]
    first = [name for name in files if name != SAVED_MODEL_FILE]
    for name in first:
        copy_file(os.path.join(source, name), os.path.join(target, name))
    for name in first:  # another process may have taken it for what a dead one left
        file, there = os.path.join(source, name), os.path.join(target, name)
        if not exists(there) or gfile(there).stat(there).length != os.path.getsize(file):
            raise RuntimeError(f'{there}: was changed while it was written; run it again')
    for name in last:
        copy_file(os.path.join(source, name), os.path.join(target, name))


def is_complete(folder: str) -> bool:
    """Whether a SavedModel is there with its weights."""
    return all(exists(os.path.join(folder, name)) for name in (SAVED_MODEL_FILE, VARIABLES_INDEX))


def versions_in(folder: str) -> list[str]:
    """The complete SavedModels among the numbered folders in `folder`, the newest last."""
    numbers = sorted(int(name) for name in names_in(folder) if re.fullmatch('[0-9]+', name))
    paths = [os.path.join(folder, str(number)) for number in numbers]
    return [path for path in paths if is_complete(path)]


def clear_leftovers(folder: str, name: str = '[0-9]+') -> None:
    """Removes what killed processes left of `name`, a pattern, in `folder`.

    No other process may be writing there.
    """
    for found in names_in(folder):
        path = os.path.join(folder, found)
        half = is_remote(folder) and re.fullmatch(name, found) and not is_complete(path)
        if half or re.fullmatch(rf'\.?{name}\.[0-9]+\.tmp', found):
            gfile(path).rmtree(path)
