"""The fixtures of the authors' model in one folder."""

from pathlib import Path

import numpy as np
import pytest
from golden import CHECKPOINTS, FIXTURES, fixture_paths

from avmae_tf.interop.checkpoints import read_parameters


@pytest.fixture(scope='session')
def fixtures(tmp_path_factory) -> Path:
    """A folder of all fixtures, whole."""
    folder = tmp_path_factory.mktemp('fixtures')
    for path in [*FIXTURES.glob('*.npz'), *fixture_paths()]:
        target = folder / path.name
        if path.stem in CHECKPOINTS and path.parent == FIXTURES:
            parameters = read_parameters(str(CHECKPOINTS[path.stem]))
            with np.load(path) as archive:
                arrays = {name: archive[name] for name in archive.files}
            np.savez(target, **arrays, **{f'params/{n}': x for n, x in parameters.items()})
        else:
            target.unlink(missing_ok=True)
            target.symlink_to(path)
    return folder
