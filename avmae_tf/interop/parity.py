"""Checks a golden fixture against our code, in the way that its kind asks for."""

from collections.abc import Iterable

from avmae_tf.interop.comparison import Comparison
from avmae_tf.interop.fixtures import read_fixture
from avmae_tf.interop.gradients import replay_gradients
from avmae_tf.interop.pieces import check_piece
from avmae_tf.interop.replay import replay_finetuning, replay_pretraining

REPLAYS = {
    'mae': replay_pretraining,
    'mae_vivit': replay_pretraining,
    'mbt': replay_finetuning,
    'vivit_cls': replay_finetuning,
}


def check_fixtures(paths: Iterable[str]) -> tuple[dict[str, list[Comparison]], list[str]]:
    """The report on each file, and what is wrong with those that cannot be replayed."""
    reports, faults = {}, []
    for path in paths:
        try:
            reports[path] = check_fixture(path)
        except ValueError as error:
            faults.append(str(error))
        except Exception as error:  # whatever it is, the other files are to be seen
            faults.append(f'{path}: {type(error).__name__}: {error}')
    return reports, faults


def check_fixture(path: str) -> list[Comparison]:
    """Compares every output that the file holds.

    Raises:
        ValueError: the file is no fixture, of an unknown kind, or asks for what we do not have.
    """
    fixture = read_fixture(path)
    kind = fixture.config.get('kind')
    try:
        if kind in REPLAYS:
            return REPLAYS[kind](fixture)
        if kind is None and 'base' in fixture.config:
            return replay_gradients(fixture)
        report = check_piece(fixture) if kind is None else None
    except KeyError as error:
        raise ValueError(f'{path}: lacks {error}, which its kind needs') from error
    if report is None:
        raise ValueError(f'{path}: kind must be one of {sorted(REPLAYS)} or a piece, got {kind!r}')
    return report
