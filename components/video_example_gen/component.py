"""VideoExampleGen: a manifest of videos to Examples, with the splits of the manifest."""

from google.protobuf import struct_pb2
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import executor_spec
from tfx.proto import example_gen_pb2

from avmae_tf.config import ClipLimits, MediaSpec
from avmae_tf.config.splits import USED
from avmae_tf.versions import CONVERSION_VERSION
from components.video_example_gen.executor import LIMITS, MEDIA, NUM_SHARDS, WORK_DIR, Executor


class VideoExampleGen(FileBasedExampleGen):
    """Converts the videos of a manifest with the Beam job of `avmae convert`.

    The manifest holds size and time of every video, so changed videos are converted anew and
    unchanged ones are taken from the cache, on every pipeline runner. Clips that cannot be decoded
    are set aside, counted in the artifact's properties, and listed in its `set_aside.csv`.

    Args:
        manifest: Folder of a manifest (`beam_jobs.manifests`).
        media: What a record keeps of a clip.
        work_dir: Stable folder; a killed conversion goes on there.
        num_shards: Shards of the largest split; by size if None.
        limits: What decoding a clip may take.

    Outputs:
        examples: Uncompressed TFRecord files of tf.train.Example, splits `train` and `eval`.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        manifest: str,
        media: MediaSpec,
        work_dir: str,
        num_shards: int | None = None,
        limits: ClipLimits = ClipLimits(),
    ) -> None:
        options = struct_pb2.Struct()
        options[MEDIA] = media.to_json()
        options[LIMITS] = limits.to_json()
        options[WORK_DIR] = work_dir
        options[NUM_SHARDS] = num_shards or 0
        options['conversion_version'] = CONVERSION_VERSION  # part of the cache key alone
        custom_config = example_gen_pb2.CustomConfig()
        custom_config.custom_config.Pack(options)
        every_file = example_gen_pb2.Input.Split(name='manifest', pattern='*')
        splits = [example_gen_pb2.SplitConfig.Split(name=s, hash_buckets=1) for s in USED]
        super().__init__(
            input_base=manifest,
            input_config=example_gen_pb2.Input(splits=[every_file]),
            output_config=example_gen_pb2.Output(
                split_config=example_gen_pb2.SplitConfig(splits=splits)
            ),
            custom_config=custom_config,
            custom_executor_spec=self.EXECUTOR_SPEC,
        )
