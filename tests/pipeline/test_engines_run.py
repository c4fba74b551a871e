"""The compiled specifications run, container by container, from videos to a pushed model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cloud_storage import CloudStorage
from engine import Engine, Task
from forks import Forks

from avmae_tf.config import Early
from avmae_tf.data import synthetic
from avmae_tf.training import devices

pytestmark = pytest.mark.slow

NEVER_CACHED = {'ManifestGen', 'ServedModel', 'Pusher', 'RunOutcome'}
STARTED, SAVED = 'Starting executor', 'saved checkpoint to'  # as TFX and Orbit log it
STYLE = synthetic.ClipStyle(size_px=32, seconds=1.0)
NUM_TRAIN, NUM_EVAL = 16, 8
ROUNDING = 1e-5  # this process optimises no graphs, theirs do


def settings_of(pretrain_config, finetune_config) -> dict:
    """A pipeline of small models of sound alone."""
    tiny = {
        'modalities': ('audio',),
        'backbone': finetune_config.backbone.replace(num_layers=1),
        'schedule': finetune_config.schedule.replace(epochs=6.0, warmup_epochs=0.0),
    }
    finetune = finetune_config.replace(fusion=Early(), **tiny)
    return {
        'name': 'weekly',
        'data': {'media': {'shorter_side_px': 32}, 'num_shards': 2},
        'start': {'pretrain': pretrain_config.replace(encoder=Early(), **tiny).model_dump()},
        'finetune': finetune.model_dump(),
        'gate': {'max_loss_of_top1': 1.0},
        'run': {'steps_per_loop': 2, 'checkpoint_every_loops': 1, 'pictures': False},
    }


def config_of(settings: dict, **changes):
    """The pipeline of these settings."""
    from pipeline.config import PipelineConfig

    data = {**settings['data'], **changes.pop('data')}
    return PipelineConfig.model_validate({**settings, **changes, 'data': data})


class Place:
    """A pipeline on an engine, with its root in a bucket."""

    def __init__(self, folder: Path, bucket: CloudStorage, forks: Forks, settings: dict):
        self.folder, self.bucket, self.settings = folder, bucket, settings
        self.engine = Engine(folder / 'engine', forks, read=self._read)

    def _read(self, uri: str) -> bytes:
        return self.bucket.read(uri.removeprefix(self.bucket.path('')))

    def run(self, text: str, **parameters: str) -> dict[str, Task]:
        """Runs what was compiled."""
        return self.engine.run(text, {k.replace('__', '.'): v for k, v in parameters.items()})

    def kill(self, name: str, when):
        """Kills that component once, when `when(log of the container)` is true."""
        self.engine.kill[name] = when

    def count(self, prefix: str, suffix: str = '') -> int:
        """How many objects there are in the bucket."""
        try:
            return sum(name.endswith(suffix) for name in self.bucket.objects(prefix))
        except KeyError:  # none yet
            return 0

    def versions(self) -> list[str]:
        """Names of the complete versions that are served."""
        try:
            names = self.bucket.objects('weekly/serving/weekly/')
        except KeyError:
            return []
        return sorted(n.split('/')[-2] for n in names if n.endswith('saved_model.pb'))

    def outcome(self) -> dict:
        """How the last run ended, as the graph wrote it."""
        return json.loads(self.bucket.read('weekly/outcomes/last.json'))

    def weights(self) -> list[np.ndarray]:
        """Of the newest version."""
        version = f'weekly/serving/weekly/{self.versions()[-1]}/'
        local = self.folder / 'pushed'
        shutil.rmtree(local, ignore_errors=True)
        for name in self.bucket.objects(version):
            if name.endswith('/'):
                continue
            path = local / name.removeprefix(version)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.bucket.read(name))
        return weights_of(local)


def weights_of(model: Path | str) -> list[np.ndarray]:
    """Of a SavedModel, in the order of their names."""
    import tensorflow as tf

    held = tf.train.load_checkpoint(f'{model}/variables/variables')
    return [
        held.get_tensor(name)
        for name in sorted(held.get_variable_to_shape_map())
        if 'OBJECT_GRAPH' not in name
    ]


@pytest.fixture(scope='module')
def videos(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('videos') / 'clips'
    synthetic.write_clips(out, num_train=NUM_TRAIN, num_eval=NUM_EVAL, style=STYLE)
    return out


@pytest.fixture
def place(tmp_path, pretrain_config, finetune_config):
    (tmp_path / 'storage').mkdir()
    environment = {
        devices.CPU_DEVICES: '1',
        devices.DEVICE: 'cpu',  # instead of the TPU that a step insists on
        'TF_CPP_MIN_LOG_LEVEL': '3',
    }
    with (
        CloudStorage(tmp_path / 'storage', 'bucket') as bucket,
        Forks({**bucket.environment, **environment}) as forks,
    ):
        yield Place(tmp_path, bucket, forks, settings_of(pretrain_config, finetune_config))


@pytest.fixture(scope='module')
def local_weights(
    videos, tmp_path_factory, pretrain_config, finetune_config, one_device, unwatched
):
    """What the local runner makes of the same videos and settings."""
    from pipeline import local_runner

    folder = tmp_path_factory.mktemp('local')
    settings = settings_of(pretrain_config, finetune_config)
    config = config_of(settings, root=str(folder / 'root'), data=data_of(videos))
    finished = local_runner.run(config, lambda *_, **__: None)
    return weights_of(finished.outcome.pushed)


def data_of(videos: Path | str) -> dict:
    return {'videos': str(videos), 'annotations': f'{videos}/annotations.csv'}


def test_on_kubeflow_every_component_may_be_killed_once(place, videos, local_weights, tmp_path):
    from pipeline.compiler import compile_text

    volume = shutil.copytree(videos, tmp_path / 'volume')
    target = {'image': 'i', 'volume': {'claim': 'clips', 'path': str(volume)}}
    config = config_of(
        place.settings,
        root=place.bucket.path('weekly'),
        data=data_of(volume),
        targets={'kubeflow': target},
    )
    text = compile_text(config, 'kubeflow')

    for name in NEVER_CACHED | {'RunParameters', 'Baseline', 'LabelSchema', 'Evaluator'}:
        place.kill(name, lambda log: STARTED in log)
    place.kill('VideoExampleGen', lambda _: place.count('weekly/work/records/'))
    for name in ('Pretrainer', 'Finetuner'):
        place.kill(name, lambda log: SAVED in log)
    first = place.run(text)
    assert not place.engine.kill and {task.attempts for task in first.values()} == {2}
    for name in ('Pretrainer', 'Finetuner'):
        assert 'resumed from step' in place.engine.log(name)
    assert len(place.versions()) == 1 and place.outcome()['blessed']
    for ours, theirs in zip(place.weights(), local_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=ROUNDING)

    unchanged = place.run(text)
    assert {name for name, task in unchanged.items() if not task.cached} == NEVER_CACHED
    assert len(place.versions()) == 1

    rows = (volume / 'annotations.csv').read_text().splitlines()
    one, other = (row.split(',')[0] for row in rows[1:3])
    shutil.copy(volume / one, volume / other)  # changed
    shutil.copy(volume / one, volume / 'added.mp4')
    added = rows[1].replace(one, 'added.mp4')
    (volume / 'annotations.csv').write_text('\n'.join([*rows, added]) + '\n')
    changed = place.run(text, gate__min_top1='1.0')
    assert not changed['VideoExampleGen'].cached and changed['LabelSchema'].cached
    (examples,) = changed['VideoExampleGen'].artifacts['examples']
    clips = NUM_TRAIN + NUM_EVAL + 1
    assert examples['metadata']['num_clips'] == clips
    assert examples['metadata']['num_taken_over'] == clips - 2
    assert not place.outcome()['blessed'] and len(place.versions()) == 1
    (shortfall,) = place.outcome()['shortfalls']
    assert shortfall['metric'] == 'top1' and shortfall['bound'] == 1.0


def test_on_vertex_with_training_on_a_tpu_slice_as_custom_jobs(place, videos, local_weights):
    from pipeline.compiler import compile_text

    for path in videos.rglob('*'):
        if path.is_file():
            place.bucket.write(f'clips/{path.relative_to(videos)}', path.read_bytes())
    tpu = {'tpu': {'topology': '2x2'}}
    target = {
        **{'image': 'i', 'tpu_image': 't', 'project': 'p', 'region': 'r'},
        'components': {'Pretrainer': tpu, 'Finetuner': tpu},
    }
    config = config_of(
        place.settings,
        root=place.bucket.path('weekly'), data=data_of(place.bucket.path('clips')),
        targets={'vertex': target},
    )  # fmt: skip
    text = compile_text(config, 'vertex')
    place.kill('Finetuner', lambda log: SAVED in log)
    done = place.run(text)
    assert done['Finetuner'].attempts == 2
    assert len(place.versions()) == 1
    # The properties of what a CustomJob made come back.
    (model,) = done['Pretrainer'].artifacts['model']
    assert np.isfinite(model['metadata']['loss'])
    for ours, theirs in zip(place.weights(), local_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=ROUNDING)
