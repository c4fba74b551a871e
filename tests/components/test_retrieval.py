"""Retrieval between the modalities, beside a ranking that is written out."""

import json

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.config import MediaSpec
from avmae_tf.data import synthetic
from avmae_tf.data.dataset import Dataset, Shard, load_dataset, save_dataset
from avmae_tf.data.record_writer import write_record
from avmae_tf.data.views import eval_views
from avmae_tf.models.builders import build_avmae
from avmae_tf.models.patches import patchify
from avmae_tf.training.checkpoints import save_model
from components.evaluation.measures import Undefined, recall_at

NUM_CLIPS = 14
NO_SOUND, NO_PICTURE = 3, 8


def ranks(asked, answers) -> list[int]:
    """How many answers are at least as near to a row as its own, by sorting."""
    found = []
    for i, row in enumerate(asked):
        cosines = [row @ x / np.linalg.norm(row) / np.linalg.norm(x) for x in answers]
        found.append(sorted(cosines, reverse=True).index(cosines[i]) + 1)
    return found


@pytest.mark.parametrize('k', [1, 5, 10])
def test_recall_is_the_share_of_ranks_up_to_k(k):
    rng = np.random.default_rng(0)
    asked = rng.normal(size=(57, 6))
    answers = asked + 1.5 * rng.normal(size=asked.shape)
    expected = np.mean([rank <= k for rank in ranks(asked, answers)])
    assert 0 < expected < 1
    assert recall_at(k, asked, answers, chunk=10) == pytest.approx(expected)


def test_who_gives_all_clips_the_same_finds_nothing():
    assert recall_at(10, np.ones([30, 4]), np.ones([30, 4])) == 0.0


def test_recall_among_too_few_clips_is_undefined():
    few = recall_at(5, np.eye(5), np.eye(5))
    assert isinstance(few, Undefined) and few.reason == '5 clips are not more than 5'
    assert recall_at(1, np.eye(5), np.eye(5)) == 1.0
    assert isinstance(recall_at(1, np.full([5, 5], np.nan), np.eye(5)), Undefined)


@pytest.fixture(scope='module')
def drawn_clips():
    """Frames and waveform of each clip; one has no sound, one no picture."""
    style = synthetic.ClipStyle(size_px=32, seconds=1.0)
    found = []
    for i in range(NUM_CLIPS):
        frames, waveform = synthetic.draw_clip(i, 5, style)
        jpegs = tuple(tf.io.encode_jpeg(frame, quality=95).numpy() for frame in frames)
        samples = np.round(waveform * 32767).astype(np.int16)
        found.append([() if i == NO_PICTURE else jpegs, samples[: 0 if i == NO_SOUND else None]])
    return found


@pytest.fixture(scope='module')
def folder(drawn_clips, tmp_path_factory):
    out = tmp_path_factory.mktemp('retrieval')
    for split in ('train', 'eval'):
        (out / f'Split-{split}').mkdir()
        with tf.io.TFRecordWriter(str(out / f'Split-{split}/clips')) as writer:
            for i, (frames, waveform) in enumerate(drawn_clips):
                writer.write(
                    write_record(
                        key=str(i), filename='', label_indices={}, label_texts={},
                        start_us=0, end_us=1_000_000, frames=frames, frames_per_second=8.0,
                        waveform=waveform, sample_rate_hz=16_000, valid_samples=len(waveform),
                        status=(), fingerprint='',
                    )
                )  # fmt: skip
    splits = {
        s: (Shard(path=f'Split-{s}/clips', num_examples=NUM_CLIPS),) for s in ('train', 'eval')
    }
    media = MediaSpec(shorter_side_px=32, required=())
    save_dataset(str(out), Dataset(media=media, splits=splits, fingerprint='x'))
    return str(out)


def test_evaluate_on_a_pretrained_model_is_retrieval(
    here, folder, drawn_clips, pretrain_config, tmp_path
):
    tf.keras.utils.set_random_seed(0)
    model = build_avmae(pretrain_config)
    dataset = load_dataset(folder)
    save_model(str(tmp_path / 'model'), model, dataset)

    embedded = {'video': [], 'audio': []}
    config = pretrain_config.on(dataset.media)
    for i, (frames, waveform) in enumerate(drawn_clips):
        if i in (NO_SOUND, NO_PICTURE):
            continue
        clip = {
            'frames': tf.constant(frames), 'frames_per_second': tf.constant(8.0),
            'waveform': tf.constant(waveform / 32768, tf.float32),
        }  # fmt: skip
        views = eval_views(clip, config, 1)
        for m, grid in model.embeddings.items():
            tokens = model.encoder({m: grid(patchify(views[m], config.inputs(m)))})[m]
            embedded[m].append(np.mean(tokens[0], axis=0))
    expected = {}
    for asked, answer in (('audio', 'video'), ('video', 'audio')):
        found = np.array(ranks(embedded[asked], embedded[answer]))
        for k in (1, 5, 10):
            expected[f'{asked}_to_{answer}_recall_at_{k}'] = np.mean(found <= k)

    arguments = '--model', tmp_path / 'model', '--data', folder, '--out', tmp_path / 'report'
    done = here('evaluate', *arguments, '--json')
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == pytest.approx(expected)
    assert '2 clips without sound or picture left out' in done.stderr
    report = json.loads((tmp_path / 'report/retrieval.json').read_text())
    assert (report['clips'], report['left_out']) == (NUM_CLIPS - 2, 2)
    assert report['metrics'] == pytest.approx(expected)


def test_what_cannot_retrieve_is_refused(here, folder, exported, pretrain_config, tmp_path):
    def refused(model):
        done = here('evaluate', '--model', model, '--data', folder, '--out', tmp_path / 'report')
        assert done.returncode == 2 and not (tmp_path / 'report').exists()
        return done.stderr

    assert 'a classifier is measured as exported' in refused(exported[0])
    one = pretrain_config.replace(modalities=('audio',), encoder='shared')
    dataset = Dataset(media=MediaSpec(), splits={}, fingerprint='x')
    save_model(str(tmp_path / 'model'), build_avmae(one), dataset)
    assert "this model has modalities=('audio',)" in refused(tmp_path / 'model')
