"""How scalars are grouped on TensorBoard's pages: the group stands before the name."""

import tensorflow as tf

OTHER = 'other'
_GROUPS = {  # by how a name begins
    'loss': 'loss',
    'mean_patch': 'loss of the mean patch',
    'top': 'accuracy',
    'map': 'accuracy',
    'action': 'accuracy',
    'learning_rate': 'optimizer',
    'gradient': 'optimizer',
    'clip': 'optimizer',
    'steps_per_second': 'speed',
}


def tag_of(name: str) -> str:
    """The tag of the scalar `name`, for TensorBoard: 'loss_video' -> 'loss/loss_video'."""
    if '/' in name:
        return name
    found = (group for begin, group in _GROUPS.items() if name.startswith(begin))
    return f'{next(found, OTHER)}/{name}'


def name_of(tag: str) -> str:
    """The scalar's name again; earlier versions wrote it without a group."""
    return tag.rpartition('/')[2]


def write_scalar(name: str, value: float | tf.Tensor, step: int | tf.Tensor) -> None:
    """Writes a scalar in its group to the current summary writer; Orbit calls it, too."""
    tf.summary.scalar(tag_of(name), value, step=step)
