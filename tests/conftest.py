"""Two logical CPU devices, tiny settings, and one set of generated clips for all tests."""

import os
import subprocess
import sys
from pathlib import Path

from avmae_tf import console

console.quiet()
console.quick()
os.environ['AVMAE_CPU_DEVICES'] = '2'
os.environ['XLA_FLAGS'] = '--xla_backend_optimization_level=0'  # what is compiled runs once

import pytest  # noqa: E402
import tensorflow as tf  # noqa: E402

from avmae_tf.cli import main  # noqa: E402
from avmae_tf.config import (  # noqa: E402
    Adam,
    AudioSpec,
    BackboneSpec,
    Bottleneck,
    DecoderSpec,
    FinetuneConfig,
    MediaSpec,
    Mid,
    PretrainConfig,
    ScheduleSpec,
    VideoSpec,
)
from avmae_tf.data import synthetic  # noqa: E402
from avmae_tf.training import devices  # noqa: E402

devices.configure_cpu_devices()
# Nor does it pay to optimise graphs that run a few times; processes of tests do it.
tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})

INPUTS = {
    'video': VideoSpec(num_frames=4, frames_per_second=4.0, size_px=32, patch=(2, 16, 16)),
    'audio': AudioSpec(seconds=0.96, patch=(16, 32)),
    'backbone': BackboneSpec(width=32, num_layers=3, num_heads=2, mlp_width=64),
}
SCHEDULE = ScheduleSpec(
    learning_rate=1e-3, reference_batch_size=8, batch_size=8, epochs=2, warmup_epochs=0.5
)
MEDIA = MediaSpec(shorter_side_px=32)


def pytest_addoption(parser):
    parser.addoption(
        '--store-figures', action='store_true', help='Keep the figures that test_versions.py finds.'
    )


@pytest.fixture(scope='session')
def pretrain_config() -> PretrainConfig:
    return PretrainConfig(
        **INPUTS,
        encoder=Mid(fused_layers=1),
        decoder=DecoderSpec(width=16, num_layers=2, num_heads=2, mlp_width=32),
        schedule=SCHEDULE,
    )


@pytest.fixture(scope='session')
def finetune_config() -> FinetuneConfig:
    return FinetuneConfig(
        **INPUTS,
        fusion=Bottleneck(fusion_layer=1, num_bottlenecks=2),
        optimizer=Adam(),
        layerwise_decay=1.0,
        num_views=2,
        schedule=SCHEDULE,
    )


@pytest.fixture(scope='module')
def one_device():
    """Where two are no part of the claim: each device traces and optimises a step once more."""
    with pytest.MonkeyPatch.context() as patch:
        strategy = tf.distribute.OneDeviceStrategy('CPU:0')
        patch.setattr(devices, 'default_strategy', lambda *_: strategy)
        yield


@pytest.fixture(scope='module')
def unwatched():
    """Where TensorBoard is no part of the claim: it costs a tiny model as much as its training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('avmae_tf.training.loop.MONITORS', ())
        yield


@pytest.fixture(scope='session')
def clips(tmp_path_factory):
    """Annotations of 48 + 16 clips of one second, 32 x 32."""
    out = tmp_path_factory.mktemp('clips')
    style = synthetic.ClipStyle(size_px=32, seconds=1.0)
    return Path(synthetic.write_clips(out, num_train=48, num_eval=16, style=style))


@pytest.fixture(scope='session')
def records(clips, tmp_path_factory) -> str:
    """A folder of records of `clips`: four shards to train on."""
    from beam_jobs.convert import convert
    from beam_jobs.datasets import build_manifest

    out = str(tmp_path_factory.mktemp('records') / 'out')
    convert(build_manifest(str(clips.parent), str(clips)), out, MEDIA)
    return out


@pytest.fixture(scope='session')
def dataset(records):
    from avmae_tf.data.dataset import load_dataset

    return load_dataset(records)


@pytest.fixture(scope='session')
def exported(tmp_path_factory, dataset, finetune_config) -> tuple[str, str]:
    """Model folder and SavedModel of a classifier with drawn weights."""
    from avmae_tf.models.builders import build_classifier
    from avmae_tf.training.checkpoints import save_model
    from avmae_tf.training.export import export_saved_model

    root = tmp_path_factory.mktemp('export')
    tf.keras.utils.set_random_seed(0)  # what is close enough in tests depends on the weights
    model = build_classifier(finetune_config, {'label': len(dataset.classes)})
    for i, variable in enumerate(model.trainable_variables):
        variable.assign_add(tf.random.stateless_normal(variable.shape, [i, 0], stddev=0.2))
    save_model(str(root / 'model'), model, dataset)
    export_saved_model(str(root / 'model'), str(root / 'saved'), name='demo')
    return str(root / 'model'), str(root / 'saved')


@pytest.fixture(scope='session')
def served(exported):
    """The SavedModel, loaded."""
    return tf.saved_model.load(exported[1])


@pytest.fixture
def here(monkeypatch, capsys):
    """`avmae` in this process, which has imported the libraries already."""

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['avmae', *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return run
