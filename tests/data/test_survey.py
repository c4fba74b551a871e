"""What `avmae inspect` counts, on records whose content is known."""

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.config import MediaSpec
from avmae_tf.config.heads import EVENT, LABEL, NOUN, VERB
from avmae_tf.data.dataset import Dataset, save_dataset
from avmae_tf.data.record_writer import EXAMPLE, FORMATS, write_record
from avmae_tf.data.records import parse_record
from avmae_tf.data.survey import is_records, survey


def record(number, *, num_frames=16, samples=32000, texts=('dog',), record_format=EXAMPLE, **more):
    fields = {
        'key': f'clip-{number}', 'filename': 'f', 'label_indices': {LABEL: (1, 2)[: len(texts)]},
        'label_texts': {LABEL: texts}, 'start_us': 0, 'end_us': 1,
        'frames': (b'jpeg',) * num_frames, 'frames_per_second': 8.0,
        'waveform': np.zeros(samples, np.int16), 'sample_rate_hz': 16000, 'valid_samples': 0,
        'status': (), 'fingerprint': '', 'record_format': record_format,
    }  # fmt: skip
    return write_record(**{**fields, **more})


def write(path, records):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for serialized in records:
            writer.write(serialized)


def save_folder(path, heads, **records):
    for split, serialized in records.items():
        write(path / split, serialized)
    splits = {k: ({'path': k, 'num_examples': len(v)},) for k, v in records.items()}
    dataset = Dataset(media=MediaSpec(), heads=heads, splits=splits, fingerprint='')
    save_dataset(str(path), dataset)
    return path


@pytest.fixture(params=FORMATS)
def folder(tmp_path, request):
    def one(number, **changes):
        return record(number, record_format=request.param, **changes)

    train = [one(i, texts=('dog', 'rain') if i < 3 else ('dog',)) for i in range(6)]
    held_out = [
        one(6, num_frames=0, samples=16000),
        one(7, samples=0, num_frames=24, texts=()),
    ]
    return save_folder(tmp_path, {LABEL: ('cat', 'dog', 'rain')}, train=train, eval=held_out)


def test_everything_is_counted_in_either_format(folder):
    summary = survey(str(folder)).summary()
    assert summary['splits'] == {'train': 6, 'eval': 2} and summary['clips'] == 8
    assert summary['heads'] == {
        'label': {
            'num_classes': 3,
            'classes_without_examples': 1,
            'top_labels': {'dog': 7, 'rain': 3},
        }
    }
    assert summary['unlabelled_clips'] == 1
    assert summary['frames_per_second'] == {'8': 7} and summary['sample_rate_hz'] == {'16000': 7}
    assert (summary['without_video'], summary['without_audio']) == (1, 1)
    assert summary['seconds']['shortest'] == 1.0 and summary['seconds']['longest'] == 3.0
    assert summary['seconds']['median'] == 2.0
    size = (folder / 'train').stat().st_size + (folder / 'eval').stat().st_size
    assert summary['bytes'] == size - 8 * 16  # TFRecord's own 16 bytes a record


def test_labels_are_counted_by_head(tmp_path):
    heads = {VERB: ('cut', 'wash', 'open'), NOUN: ('knife', 'tap')}
    action = {'label_indices': {VERB: (1,), NOUN: (1,)}, 'label_texts': {VERB: ('wash',)}}
    events = {'label_indices': {EVENT: (0,) * 7 + (1,) * 3}, 'label_texts': {}}
    save_folder(tmp_path, heads, train=[record(0, **action), record(1, **action)])
    summary = survey(str(tmp_path)).summary()
    assert list(summary['heads']) == [NOUN, VERB] and not summary['unlabelled_clips']
    assert summary['heads'][VERB]['top_labels'] == {'wash': 2}
    assert summary['heads'][NOUN]['top_labels'] == {'tap': 2}  # no text: by the folder's classes
    assert summary['heads'][VERB]['classes_without_examples'] == 2

    write(tmp_path / 'events', [record(2, **events)])
    alone = survey(str(tmp_path / 'events')).summary()
    assert alone['heads'] == {
        EVENT: {
            'num_classes': 2,
            'classes_without_examples': 0,
            'top_labels': {'#0': 7, '#1': 3},  # neither text nor classes; one for each second
        }
    }


def test_one_file_is_counted_by_itself(folder):
    assert is_records(str(folder)) and is_records(str(folder / 'eval'))
    summary = survey(str(folder / 'eval')).summary()
    assert summary['clips'] == 2 and summary['splits'] == {}
    assert summary['heads'][LABEL]['num_classes'] == 1


def test_the_sample_is_drawn_from_all_records_and_always_the_same(folder):
    def keys(count):
        sample = survey(str(folder), count).sample
        return [parse_record(x)['key'].numpy() for x in sample]

    assert keys(3) == keys(3) and len(set(keys(3))) == 3
    assert sorted(keys(20)) == [f'clip-{i}'.encode() for i in range(8)]
    assert set(keys(3)) != {b'clip-0', b'clip-1', b'clip-2'}


def test_a_damaged_file_is_named_with_the_record(folder):
    data = (folder / 'train').read_bytes()
    (folder / 'train').write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r'train: record [23] of 6, .* `avmae conv'):
        survey(str(folder))
