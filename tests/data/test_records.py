"""Records as the key table has them, both ways round: DMVR's loaders read ours, we read theirs."""

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.config import MediaSpec
from avmae_tf.config.heads import EVENT, LABEL, NOUN, VERB
from avmae_tf.data.dataset import Dataset
from avmae_tf.data.record_writer import DMVR, FORMATS, write_record
from avmae_tf.data.records import measure_record, parse_record

FRAMES = (b'\xff\xd8one', b'\xff\xd8two', b'\xff\xd8three')
WAVEFORM = np.array([0, 16384, -32768, 32767], np.int16)


def write(**changes):
    fields = {
        'key': 'a#1-3', 'filename': 'a.mp4', 'label_indices': {LABEL: (3, 7)},
        'label_texts': {LABEL: ('dog', 'cat')}, 'start_us': 1_000_000, 'end_us': 1_000_250,
        'frames': FRAMES, 'frames_per_second': 8.0, 'waveform': WAVEFORM, 'sample_rate_hz': 16000,
        'valid_samples': 4, 'status': (), 'fingerprint': 'f',
    }  # fmt: skip
    return write_record(**{**fields, **changes})


def test_a_record_in_the_form_of_dmvr_is_read_by_its_key_table():
    context, lists = tf.io.parse_single_sequence_example(
        write(record_format=DMVR),
        {
            'clip/label/index': tf.io.VarLenFeature(tf.int64),
            'clip/label/text': tf.io.VarLenFeature(tf.string),
            'clip/start/timestamp': tf.io.FixedLenFeature([], tf.int64),
            'clip/end/timestamp': tf.io.FixedLenFeature([], tf.int64),
            'video/filename': tf.io.FixedLenFeature([], tf.string),
        },
        {
            'image/encoded': tf.io.FixedLenSequenceFeature([], tf.string),
            'WAVEFORM/feature/floats': tf.io.VarLenFeature(tf.float32),
        },
    )
    assert context['clip/label/index'].values.numpy().tolist() == [3, 7]
    assert context['clip/label/text'].values.numpy().tolist() == [b'dog', b'cat']
    assert (context['clip/start/timestamp'], context['clip/end/timestamp']) == (10**6, 10**6 + 250)
    assert context['video/filename'] == b'a.mp4'
    assert lists['image/encoded'].numpy().tolist() == [*FRAMES]
    samples = tf.sparse.to_dense(lists['WAVEFORM/feature/floats']).numpy()
    assert samples.tolist() == [[0.0, 0.5, -1.0, 32767 / 32768]]  # all in one feature


def theirs(frames, samples, **context) -> bytes:
    record = tf.train.SequenceExample()
    record.context.feature['clip/label/index'].int64_list.value.append(5)
    for key, value in context.items():
        record.context.feature[f'clip/{key}/timestamp'].int64_list.value.append(value)
    for frame in frames:
        feature = record.feature_lists.feature_list['image/encoded'].feature.add()
        feature.bytes_list.value.append(frame)
    feature = record.feature_lists.feature_list['WAVEFORM/feature/floats'].feature.add()
    feature.float_list.value.extend(samples)
    return record.SerializeToString()


def test_a_record_of_dmvr_is_read_by_us():
    samples = np.linspace(-1, 1, 32000, dtype=np.float32)
    clip = parse_record(theirs(FRAMES * 10, samples), (LABEL,))
    assert clip['frames'].numpy().tolist() == [*FRAMES] * 10
    np.testing.assert_array_equal(clip['waveform'], samples)
    assert clip['labels'][LABEL].numpy().tolist() == [5]
    assert clip['key'].numpy() == b''
    assert clip['frames_per_second'].numpy() == 15.0  # thirty in two seconds of sound
    timed = parse_record(theirs(FRAMES * 10, [], start=10**6, end=7 * 10**6))
    assert timed['frames_per_second'].numpy() == 5.0


@pytest.mark.parametrize('record_format', FORMATS)
def test_both_forms_read_alike(record_format):
    clip = parse_record(write(record_format=record_format), (LABEL,))
    assert clip['key'].numpy() == b'a#1-3'
    assert clip['frames'].numpy().tolist() == [*FRAMES]
    assert clip['frames_per_second'].numpy() == 8.0
    assert clip['waveform'].numpy().tolist() == [0.0, 0.5, -1.0, 32767 / 32768]
    assert clip['labels'][LABEL].numpy().tolist() == [3, 7]
    silent = write(record_format=record_format, frames=(), waveform=WAVEFORM[:0], label_indices={})
    clip = parse_record(silent, (LABEL,))
    assert (clip['frames'].shape, clip['waveform'].shape) == ((0,), (0,))
    assert clip['labels'][LABEL].shape == (0,)


def test_every_head_has_its_own_keys():
    labels = {NOUN: (4,), VERB: (9,), EVENT: tuple(range(10))}
    texts = {NOUN: ('cup',), VERB: ('wash',), EVENT: tuple('abcdefghij')}
    record = write(label_indices=labels, label_texts=texts)
    features = tf.train.Example.FromString(record).features.feature
    assert features['clip/label/noun/index'].int64_list.value[:] == [4]
    assert features['clip/label/verb/text'].bytes_list.value[:] == [b'wash']
    assert features['clip/label/event/index'].int64_list.value[:] == [*range(10)]
    assert 'clip/label/index' in features  # empty, never missing
    read = parse_record(record, labels)['labels']
    assert {head: tuple(x.numpy()) for head, x in read.items()} == labels


def test_records_are_parsed_in_a_graph_of_both_forms():
    both = tf.data.Dataset.from_tensor_slices([write(record_format=x) for x in FORMATS])
    one, other = both.map(parse_record)
    np.testing.assert_array_equal(one['waveform'], other['waveform'])
    assert one['frames'].numpy().tolist() == other['frames'].numpy().tolist()


def test_heads_are_known_and_in_order():
    heads = {VERB: ('open',), NOUN: ('cup', 'door')}
    dataset = Dataset(media=MediaSpec(), heads=heads, splits={}, fingerprint='f')
    assert list(dataset.heads) == [NOUN, VERB] and dataset.classes == ()
    assert list(Dataset.from_json(dataset.to_json()).heads) == [NOUN, VERB]
    with pytest.raises(ValueError, match=r"heads must be of .* got \['nouns'\]"):
        Dataset(media=MediaSpec(), heads={'nouns': ()}, splits={}, fingerprint='f')


def test_what_can_be_counted_needs_no_decoding_and_holds_for_both_forms():
    for record_format in FORMATS:
        heads = {NOUN: (1,), VERB: (2,)}
        record = write(
            record_format=record_format, label_indices=heads, label_texts={NOUN: ('cup',)}
        )
        found = measure_record(record)
        assert {h: x.numpy().tolist() for h, x in found['labels'].items()} == {
            LABEL: [], NOUN: [1], VERB: [2], EVENT: []
        }  # fmt: skip
        assert found['texts'][NOUN].numpy().tolist() == [b'cup'] and not len(found['texts'][VERB])
        assert (found['num_frames'], found['frames_per_second']) == (3, 8.0)
        assert (found['num_samples'], found['sample_rate_hz']) == (4, 16000)
    found = measure_record(theirs(FRAMES * 10, np.zeros(32000)))
    assert (found['num_frames'], found['frames_per_second']) == (30, 15.0)
    assert (found['num_samples'], found['sample_rate_hz']) == (32000, 16000)
