"""All that is watched of a run, in the order in which it acts."""

from avmae_tf.training.actions import Action
from avmae_tf.training.monitoring.about import About
from avmae_tf.training.monitoring.classification import Classification
from avmae_tf.training.monitoring.profile import Profile
from avmae_tf.training.monitoring.projector import Projector
from avmae_tf.training.monitoring.reconstructions import Reconstructions
from avmae_tf.training.monitoring.speed import Speed

# The profile comes first: it holds steps alone.
MONITORS: tuple[type[Action], ...] = (
    Profile, Speed, About, Reconstructions, Classification, Projector,
)  # fmt: skip
