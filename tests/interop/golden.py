"""Committed fixtures of the authors' model; AVMAE_FIXTURES names a folder of more."""

import os
from pathlib import Path

FIXTURES = Path(__file__).parent / 'fixtures'
CHECKPOINTS = {  # these fixtures are kept without the parameters that a checkpoint beside them has
    'mae_enc-midfusion_dec-shared': FIXTURES / 'checkpoint_1234',
    'mbt_av_classification': FIXTURES / 'checkpoint_4321',
}


def fixture_paths() -> list[Path]:
    more = os.environ.get('AVMAE_FIXTURES')
    return sorted(Path(more or FIXTURES).glob('*.npz'))
