"""What a SavedModel came from: image, code and packages of the process that exported it."""

import os
import subprocess
from pathlib import Path
from typing import ClassVar

import avmae_tf
from avmae_tf.config.descriptions import Description
from avmae_tf.storage import exists, fingerprint, read_settings, write_text

ORIGIN_FILE = 'assets.extra/origin.json'
IMAGE, COMMIT = 'AVMAE_IMAGE', 'AVMAE_COMMIT'  # environment variables of a container
ROOT = Path(avmae_tf.__file__).parent.parent  # of a checkout; an image is laid out like one
LOCK = ROOT / 'requirements.lock'


class Origin(Description):
    """What was there when a model was exported; '' is unknown.

    Attributes:
        image: name of the container image, as the pipeline's file has it.
        version: of this package.
        commit: of its code, `-dirty` behind it where that was changed.
        lock: a short hash of `requirements.lock`.
    """

    FILE: ClassVar[str] = 'origin.json'
    image: str = ''
    version: str
    commit: str = ''
    lock: str = ''


def origin() -> Origin:
    """Of what is exported by this process."""
    return Origin(
        image=os.environ.get(IMAGE, ''),
        version=avmae_tf.__version__,
        commit=os.environ.get(COMMIT) or _commit(),
        lock=fingerprint([str(LOCK)]) if LOCK.exists() else '',
    )


def _commit() -> str:
    if not (ROOT / '.git').exists():  # installed, below the checkout of something else perhaps
        return ''
    command = ['git', '-C', str(ROOT), 'describe', '--always', '--dirty', '--abbrev=12']
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # there is no git, or it is not ours to ask
        return ''


def write_origin(folder: str) -> None:
    """Says in the SavedModel `folder` where it came from."""
    write_text(os.path.join(folder, ORIGIN_FILE), origin().to_json())


def read_origin(folder: str) -> Origin | None:
    """What the SavedModel in `folder` came from; None where an older version exported it."""
    path = os.path.join(folder, ORIGIN_FILE)
    return read_settings(path, Origin, 'export the model again') if exists(path) else None
