"""VideoExampleGen: a manifest of videos to Examples, with the splits of the manifest."""

from typing import Any, ClassVar

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import channel, component_spec
from tfx.types.standard_artifacts import Examples

from avmae_tf.config import ClipLimits, MediaSpec
from avmae_tf.versions import CONVERSION_VERSION
from components.video_example_gen.executor import (
    LIMITS,
    MANIFEST,
    MEDIA,
    NUM_SHARDS,
    WORK_DIR,
    Executor,
)

EXAMPLES = 'examples'


class VideoExampleGenSpec(component_spec.ComponentSpec):
    """Parameters and outputs of VideoExampleGen, as TFX writes them down."""

    PARAMETERS: ClassVar = {
        MANIFEST: component_spec.ExecutionParameter(type=str),
        MEDIA: component_spec.ExecutionParameter(type=str),
        LIMITS: component_spec.ExecutionParameter(type=str),
        WORK_DIR: component_spec.ExecutionParameter(type=str),
        NUM_SHARDS: component_spec.ExecutionParameter(type=int),
        'conversion_version': component_spec.ExecutionParameter(type=int),
    }
    INPUTS: ClassVar[dict[str, Any]] = {}
    OUTPUTS: ClassVar = {EXAMPLES: component_spec.ChannelParameter(type=Examples)}


class VideoExampleGen(base_beam_component.BaseBeamComponent):
    """Converts the videos of a manifest with the Beam job of `avmae convert`.

    The path of the manifest holds a hash of size and time of every video, so changed videos are
    converted anew and unchanged ones are taken from the cache, on every engine. Clips that cannot
    be decoded are set aside, counted in the artifact's properties, and listed in its
    `set_aside.csv`.

    Args:
        manifest: Folder of a manifest (`beam_jobs.manifests`): a path, or what ManifestGen returns.
        media: What a record keeps of a clip.
        work_dir: Stable folder; a killed conversion goes on there.
        num_shards: Shards of the largest split; by size if None.
        limits: What decoding a clip may take.

    Outputs:
        examples: Uncompressed TFRecord files of tf.train.Example, splits `train` and `eval`.
    """

    SPEC_CLASS = VideoExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        manifest: Any,
        media: MediaSpec,
        work_dir: str,
        num_shards: int | None = None,
        limits: ClipLimits = ClipLimits(),
    ) -> None:
        settings = {
            MANIFEST: manifest,
            MEDIA: media.to_json(),
            LIMITS: limits.to_json(),
            WORK_DIR: work_dir,
            NUM_SHARDS: num_shards or 0,
            'conversion_version': CONVERSION_VERSION,  # part of the cache key alone
        }
        super().__init__(VideoExampleGenSpec(**settings, examples=channel.Channel(type=Examples)))
