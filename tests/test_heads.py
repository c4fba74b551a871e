"""Every kind of label from records through training, TFMA and predict, beside scikit-learn."""

import json

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from scipy.stats import norm
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    roc_auc_score,
    top_k_accuracy_score,
)

from avmae_tf.cli.predict import lines
from avmae_tf.cli.train import evaluate
from avmae_tf.config import AudioSpec, BackboneSpec, MediaSpec, RunSpec, VideoSpec
from avmae_tf.data import synthetic
from avmae_tf.data.dataset import Dataset, Shard, save_dataset
from avmae_tf.data.inputs import one_hot
from avmae_tf.data.record_writer import write_record
from avmae_tf.data.records import parse_record
from avmae_tf.predictor import Predictor, spans
from avmae_tf.training import loop
from avmae_tf.training.checkpoints import RunFolder
from avmae_tf.training.export import export_saved_model
from avmae_tf.training.tasks import FinetuneTask
from avmae_tf.training.warmup import to_wav
from beam_jobs.media import decode_clip
from components.evaluation.analysis import read_left_out

MEDIA = MediaSpec(shorter_side_px=32)
SECONDS, RATE_HZ = 2, 16_000
SHARDS = {'train': (8,), 'eval': (13, 10)}
KINDS = {  # classes of each head
    'one label': {'label': 6},
    'several labels': {'label': 5},
    'nouns and verbs': {'noun': 7, 'verb': 6},
    'events': {'event': 6},
}
TEN_SECONDS = {
    'video': VideoSpec(num_frames=10, frames_per_second=1.0, size_px=32, patch=(2, 16, 16)),
    'audio': AudioSpec(seconds=10.0, patch=(40, 128)),
    'segments': 10,
    'num_views': 1,
}


def draw_labels(kind: str, rng) -> dict[str, tuple[int, ...]]:
    """Of one clip; several labels are none at all up to every class."""
    sizes = KINDS[kind]
    if kind == 'several labels':
        chosen = rng.permutation(sizes['label'])[: rng.integers(sizes['label'] + 1)]
        return {'label': tuple(map(int, chosen))}
    length = 10 if kind == 'events' else 1
    return {head: tuple(map(int, rng.integers(0, n, length))) for head, n in sizes.items()}


def draw_record(key: str, labels, rng) -> bytes:
    """A clip whose colour and sound are its own."""
    colour = tf.constant(rng.integers(0, 256, 3), tf.uint8)
    noise = tf.constant(rng.integers(0, 60, [32, 32, 3]), tf.uint8)
    frame = tf.io.encode_jpeg(colour // 2 + noise).numpy()
    times = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    tone = np.sin(2 * np.pi * rng.uniform(100, 4000) * times) * rng.uniform(1e3, 2e4)
    return write_record(
        key=key,
        filename='',
        label_indices=labels,
        label_texts={},
        start_us=0,
        end_us=SECONDS * 1_000_000,
        frames=(frame,) * (SECONDS * 8),
        frames_per_second=8.0,
        waveform=tone.astype(np.int16),
        sample_rate_hz=RATE_HZ,
        valid_samples=SECONDS * RATE_HZ,
        status=(),
        fingerprint='',
    )


def write_records(folder, kind: str) -> Dataset:
    rng = np.random.default_rng(0)
    splits = {}
    for split, counts in SHARDS.items():
        (folder / f'Split-{split}').mkdir(parents=True)
        paths = [f'Split-{split}/clips-{i}' for i in range(len(counts))]
        for path, count in zip(paths, counts, strict=True):
            with tf.io.TFRecordWriter(str(folder / path)) as writer:
                for i in range(count):
                    writer.write(draw_record(f'{path}-{i}', draw_labels(kind, rng), rng))
        splits[split] = tuple(
            Shard(path=path, num_examples=count) for path, count in zip(paths, counts, strict=True)
        )
    heads = {head: tuple(f'{head}{i}' for i in range(n)) for head, n in KINDS[kind].items()}
    dataset = Dataset(media=MEDIA, heads=heads, splits=splits, fingerprint=kind)
    save_dataset(str(folder), dataset)
    return dataset


def draw_weights(model):
    """The head starts at zero: all classes would be equal."""
    for i, variable in enumerate(model.trainable_variables):
        variable.assign_add(tf.random.stateless_normal(variable.shape, [i, 0], stddev=0.3))


@pytest.fixture(scope='module', params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope='module')
def folder(kind, finetune_config, tmp_path_factory):
    """Records, and a classifier after two steps on them; the scalars of its test, what it said."""
    folder = tmp_path_factory.mktemp('kind')
    dataset = write_records(folder / 'records', kind)
    config = finetune_config.replace(
        backbone=BackboneSpec(width=32, num_layers=1, num_heads=2, mlp_width=32),
        fusion='early',
        schedule={**finetune_config.schedule.model_dump(), 'batch_size': 4, 'epochs': 1},
        **{'several labels': {'loss': 'sigmoid'}, 'events': TEN_SECONDS}.get(kind, {}),
    )
    run, said = RunFolder(str(folder / 'run')), []
    scalars = loop.train(
        FinetuneTask(config, dataset),
        str(folder / 'records'),
        run,
        run=RunSpec(steps_per_loop=2),
        initialise=draw_weights,
        strategy=tf.distribute.OneDeviceStrategy('CPU:0'),
        say=said.append,
    )
    assert all(map(np.isfinite, scalars.values())) and len(scalars) >= 3
    export_saved_model(run.model, str(folder / 'saved'))
    return folder, scalars, said


@pytest.fixture(scope='module')
def served(folder):
    return Predictor(str(folder[0] / 'saved'))


@pytest.fixture(scope='module')
def evaluated(folder):
    """What `avmae evaluate --json` does."""
    paths = {'--model': 'saved', '--data': 'records', '--out': 'report'}
    arguments = [x for option, name in paths.items() for x in (option, str(folder[0] / name))]
    return CliRunner().invoke(evaluate, [*arguments, '--json'], catch_exceptions=False)


@pytest.fixture(scope='module')
def metrics(evaluated):
    return json.loads(evaluated.stdout)


@pytest.fixture(scope='module')
def labels_and_outputs(folder, served, kind):
    """Labels by head, a list of [k] each, and what the SavedModel answers to the records."""
    paths = [str(path) for path in sorted((folder[0] / 'records/Split-eval').iterdir())]
    records = [record.numpy() for record in tf.data.TFRecordDataset(paths)]
    parsed = [parse_record(record, KINDS[kind])['labels'] for record in records]
    labels = {head: [clip[head].numpy() for clip in parsed] for head in KINDS[kind]}
    answer = served.model.signatures['serving_default'](examples=tf.constant(records))
    return labels, {name: value.numpy() for name, value in answer.items()}


def of_one_label(labels, scores):
    labels = np.ravel(labels)
    classes = np.arange(scores.shape[1])
    return {
        'top1': accuracy_score(labels, scores.argmax(axis=1)),
        'top5': top_k_accuracy_score(labels, scores, k=5, labels=classes),
        'map': average_precision_score(np.eye(len(classes))[labels], scores),
    }


def of_several_labels(labels, scores):
    labelled = [i for i, clip in enumerate(labels) if len(clip)]
    assert len(labelled) < len(labels)
    labels, scores = [labels[i] for i in labelled], scores[labelled]
    hot = np.array([one_hot(tf.constant(clip), scores.shape[1]) for clip in labels])
    best = scores.argsort(axis=1)[:, ::-1]
    area = roc_auc_score(hot, scores)
    return {
        'top1': np.take_along_axis(hot, best[:, :1], axis=1).mean(),
        'top5': np.take_along_axis(hot, best[:, :5], axis=1).any(axis=1).mean(),
        'map': average_precision_score(hot, scores),
        'dprime': np.sqrt(2) * norm.ppf(area),
    }


def of_nouns_and_verbs(labels, outputs):
    by_head = {head: of_one_label(labels[head], outputs[f'{head}_scores']) for head in labels}
    pairs = outputs['noun_scores'][:, :, None] * outputs['verb_scores'][:, None, :]
    best = np.stack(np.unravel_index(pairs.reshape(len(pairs), -1).argmax(1), pairs.shape[1:]), 1)
    truth = np.concatenate([labels['noun'], labels['verb']], axis=1)
    found = {f'{k}_{h}': by_head[h][k] for k in ('top1', 'top5') for h in by_head}
    return {'action': (best == truth).all(axis=1).mean(), **found}


def of_events(labels, scores):
    seconds = of_one_label(np.concatenate(labels), scores.reshape(-1, scores.shape[-1]))
    return {'top1': seconds['top1'], 'top5': seconds['top5']}


@pytest.fixture(scope='module')
def expected(kind, labels_and_outputs):
    labels, outputs = labels_and_outputs
    if kind == 'nouns and verbs':
        return of_nouns_and_verbs(labels, outputs)
    measure = {
        'one label': of_one_label,
        'several labels': of_several_labels,
        'events': of_events,
    }[kind]
    return measure(*labels.values(), outputs['scores'])


def test_metrics_are_those_of_the_served_scores(metrics, expected):
    assert list(metrics) == list(expected)
    assert metrics == pytest.approx(expected, abs=1e-6)
    assert all(0 < value < 1 for name, value in metrics.items() if name.startswith('top1'))


def test_clips_without_a_label_are_left_out_and_told(folder, evaluated, labels_and_outputs):
    without = sum(not len(clip) for clip in next(iter(labels_and_outputs[0].values())))
    note = f'{without} clip{"s" if without > 1 else ""} without a label left out'
    assert (note in evaluated.stderr) == bool(without)
    said = [line for line in folder[2] if 'without a label' in line]
    assert len(said) == bool(without) and (not said or f'{note} of eval' in said[0])
    assert read_left_out(str(folder[0] / 'report')) == without


def test_training_tests_what_tfma_measures(folder, metrics):
    shared = metrics.keys() & folder[1].keys()
    assert len(shared) >= 2
    assert {k: folder[1][k] for k in shared} == pytest.approx({k: metrics[k] for k in shared})


def test_predict_names_the_best_of_each_head(served, kind, clips):
    answer = served.predict(str(next(clips.parent.glob('eval/*.mp4'))), top=2)
    printed = list(lines(answer))
    if kind == 'events':
        ((first, end, label),) = answer['events']
        assert (first, end) == (0, 1) and printed == [f'0-1 s {label}']
        return
    scores = {key: best for key, best in answer.items() if key.endswith('scores')}
    if kind == 'nouns and verbs':
        assert list(scores) == ['noun_scores', 'verb_scores', 'action_scores']
        (noun, p), (verb, q), (action, r) = (best[0] for best in scores.values())
        assert action == f'{verb} {noun}' and r == pytest.approx(p * q)
        assert printed[0].startswith(f'noun: {noun} {p:.3f}  ')
        assert printed[2].startswith(f'action: {verb} {noun} {r:.3f}  ')
    else:
        assert list(scores) == ['scores']
        assert printed[0].startswith(f'{scores["scores"][0][0]} ')
    assert all(len(best) == 2 and best[0][1] >= best[1][1] for best in scores.values())
    assert len(printed) == len(scores)


@pytest.mark.parametrize('kind', ['events'], indirect=True)
def test_events_of_a_long_clip_are_those_of_its_windows(served, tmp_path):
    style = synthetic.ClipStyle(size_px=32, seconds=13.0)
    synthetic.write_clips(tmp_path, num_train=0, num_eval=1, style=style)
    (path,) = tmp_path.glob('eval/*.mp4')
    clip = decode_clip(path, MEDIA)

    def classes(start):
        answer = served.model.signatures['clips'](
            frames=tf.constant([clip.frames[start * 8 : start * 8 + 80]]),
            frames_per_second=tf.constant([8.0]),
            audio=tf.constant([to_wav(clip.waveform[start * RATE_HZ : (start + 10) * RATE_HZ])]),
        )
        return [f'event{i}' for i in answer['scores'][0].numpy().argmax(axis=-1)]

    seconds = classes(0) + classes(3)[7:]
    assert served.predict(str(path), top=1)['events'] == spans(seconds)


def test_runs_of_equal_seconds():
    assert spans([*'aab', *'bbc']) == [[0, 2, 'a'], [2, 5, 'b'], [5, 6, 'c']]
    assert spans([]) == []
