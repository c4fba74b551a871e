"""A reminder that what is learned, or what a clip is converted to, has moved under its version.

Figures of a few steps and of two clips are kept in `tests/versions.json`, with the versions that
they are of. Where they were meant to move: raise the version in `avmae_tf/versions.py`, then

    pytest tests/test_versions.py --store-figures
"""

import json
import os
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf import versions
from avmae_tf.config import (
    SGD,
    BackboneSpec,
    Bottleneck,
    DecoderSpec,
    FinetuneConfig,
    MediaSpec,
    PretrainConfig,
    RunSpec,
    ScheduleSpec,
    VideoSpec,
)
from avmae_tf.data import records
from avmae_tf.data.dataset import load_dataset
from avmae_tf.training.tasks import FinetuneTask, PretrainTask
from avmae_tf.training.trainer import Trainer
from avmae_tf.training.warm_start import warm_start
from beam_jobs.datasets import build_manifest
from beam_jobs.shards import plan_job
from beam_jobs.video_to_records import convert_rows

STORED = Path(__file__).parent / 'versions.json'
ARCHIVE = Path(__file__).parent / 'earlier/96cd153.tar.xz'  # bytes that no encoder changes
CLIPS = ('00003-square-snare', '00005-ring-clarinet')


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """The archive's records, and two of its clips."""
    out = tmp_path_factory.mktemp('versions')
    wanted = ('./records/', *(f'./clips/train/{name}' for name in CLIPS))
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(out, [m for m in archive if m.name.startswith(wanted)])
    return out


def check(request, name: str, version: int, figures: dict, tolerance: dict):
    """Compares figures with those stored under `name`, or stores them."""
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    before = stored.get(name, {'version': 0, 'figures': {}})
    near = {k: pytest.approx(values, **tolerance) for k, values in figures.items()}
    moved = [k for k in figures if before['figures'].get(k) != near[k]]
    why = f'{moved} moved: if that is meant, raise {name} in avmae_tf/versions.py'
    if request.config.getoption('--store-figures'):
        assert version > before['version'] or not moved, why
        rounded = {k: [round(x, 5) for x in values] for k, values in figures.items()}
        stored[name] = {'version': version, 'figures': rounded}
        lists_in_lines = re.sub(r'\n\s+(?=[-\d\]])', ' ', json.dumps(stored, indent=1))
        STORED.write_text(f'{lists_in_lines}\n')
    else:
        store = 'and run pytest tests/test_versions.py --store-figures'
        assert not moved, f'{why}, {store}'
        assert version == before['version'], f'{name} was raised: {store[4:]}'


def test_what_a_clip_is_converted_to_is_that_of_its_version(request, folder):
    lines = ['path,label,start,end', *(f'train/{name}.mp4,a,0.25,0.9' for name in CLIPS)]
    (folder / 'clips/list.csv').write_text('\n'.join(lines))
    manifest = build_manifest(str(folder / 'clips'), str(folder / 'clips/list.csv'))
    media = MediaSpec(frames_per_second=5.0, shorter_side_px=24)
    figures = {}
    for row, record in convert_rows(manifest.rows, plan_job(manifest, media).job):
        features = tf.train.Example.FromString(record[0]).features.feature
        frames = [tf.io.decode_jpeg(jpeg) for jpeg in features[records.FRAMES].bytes_list.value]
        quarters = tf.image.resize(tf.cast(tf.stack(frames), tf.float32), [2, 2], 'area')
        samples = np.frombuffer(features[records.WAVEFORM].bytes_list.value[0], '<i2') / 2**15
        loudness = [np.sqrt(np.mean(part**2)) for part in np.array_split(samples, 6)]
        name = os.path.basename(row.path)
        times = (features[k].int64_list.value[0] for k in (records.START_US, records.END_US))
        figures |= {
            f'{name} {what}': [float(x) for x in np.ravel(values)]
            for what, values in {
                'counts': [len(frames), len(samples), *times],
                'quarters of frames': quarters / 255,
                'loudness': loudness,
            }.items()
        }
    check(request, 'CONVERSION_VERSION', versions.CONVERSION_VERSION, figures, {'abs': 4e-3})


INPUTS = {
    'video': VideoSpec(num_frames=4, frames_per_second=4.0, size_px=32, patch=(2, 16, 16)),
    'audio': {'seconds': 0.96, 'patch': (16, 32)},
    'backbone': BackboneSpec(width=16, num_layers=2, num_heads=2, mlp_width=32),
}
SCHEDULE = ScheduleSpec(
    learning_rate=0.02, reference_batch_size=8, batch_size=8, epochs=2, warmup_epochs=0.5
)


def steps(task, folder: str, initialise=lambda model: None) -> tuple[tf.keras.Model, list[float]]:
    """Loss of each of four steps, and the sizes of the weights after them."""
    trainer = Trainer(task, folder, tf.distribute.OneDeviceStrategy('CPU:0'), RunSpec())
    initialise(trainer.model)
    trainer.read_from(0)
    losses = [trainer.train(tf.constant(1))['loss'] for _ in range(4)]
    sizes = [tf.norm(variable) for variable in trainer.model.trainable_variables]
    return trainer.model, [float(x) for x in (*losses, tf.norm(sizes))]


def test_what_is_learned_is_that_of_its_version(request, folder):
    path = str(folder / 'records')
    dataset = load_dataset(path)
    pretrain = PretrainConfig(
        **INPUTS,
        encoder={'kind': 'mid', 'fused_layers': 1},
        decoder=DecoderSpec(width=8, num_layers=1, num_heads=2, mlp_width=16),
        schedule=SCHEDULE,
        weight_decay=0.05,
    )
    finetune = FinetuneConfig(
        **INPUTS,
        augment='vggsound',
        fusion=Bottleneck(fusion_layer=1, num_bottlenecks=2),
        optimizer=SGD(),
        schedule=SCHEDULE.replace(learning_rate=1.0),
        label_smoothing=0.0,
    )
    encoder, pretraining = steps(PretrainTask(pretrain, dataset), path)
    _, finetuning = steps(
        FinetuneTask(finetune, dataset), path, lambda model: warm_start(model, encoder)
    )
    figures = {'pretraining': pretraining, 'finetuning': finetuning}
    check(request, 'LEARNING_VERSION', versions.LEARNING_VERSION, figures, {'rel': 1e-3})
