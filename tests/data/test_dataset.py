"""A folder of records describes itself, or is refused by name."""

import os
import shutil
import struct
from pathlib import Path

import pytest
import tensorflow as tf

from avmae_tf.data.dataset import (
    DATASET_FILE,
    check_records,
    check_sizes,
    damage_named,
    load_dataset,
    save_dataset,
    shard_records,
)
from avmae_tf.data.inputs import eval_batches, training_batches
from avmae_tf.data.survey import survey


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (b'', r'version \(Invalid JSON: EOF'),
        (b'{"heads": {}', r'version \(Invalid JSON: EOF'),
        (b'caf\xe9', r'version \(Invalid JSON'),
        (b'{"heads": {}, "splits": {}, "fingerprint": ""}', r'media: Field required'),
        (b'{"splits": {"train": [{"path": "a"}]}}', r'(media|splits.train.0.num_examples): Field'),
    ],
)
def test_a_damaged_description_is_named_with_its_field_and_the_fix(tmp_path, text, message):
    (tmp_path / DATASET_FILE).write_bytes(text)
    with pytest.raises(ValueError, match=message) as refusal:
        load_dataset(str(tmp_path))
    assert str(refusal.value).startswith(f'{tmp_path}/{DATASET_FILE}: is damaged or of')
    assert 'make the records again' in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def boundaries(data: bytes) -> list[int]:
    """Where the records of a TFRecord file begin, and its end: 8 + 4 bytes, the record, 4 bytes."""
    places = [0]
    while places[-1] < len(data):
        (length,) = struct.unpack_from('<Q', data, places[-1])
        places.append(places[-1] + 8 + 4 + length + 4)
    return places


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


HARM = {  # name: what is done to a shard's bytes and where its records begin; the complaint
    'between records': (lambda x, at: x[: at[1]], 'record 1 of {}, counted from 0'),
    'in a record': (lambda x, at: x[: at[2] - 9], 'record 1 of {}, counted from 0'),
    'in a length': (lambda x, at: flipped(x, at[2] + 1), 'record 2 of {}, counted from 0'),
    'in a picture': (lambda x, at: flipped(x, at[2] + 50), 'record 2 of {}, counted from 0'),
    'its first byte': (lambda x, at: flipped(x, 0), 'record 0 of {}, counted from 0'),
    'zeros': (lambda x, at: bytes(len(x)), 'record 0 of {}, counted from 0'),
    'nothing': (lambda x, at: b'', 'record 0 of {}, counted from 0'),
}


def harm(path: Path, kind: str, count: int) -> str:
    """Does that to a shard of `count` records; returns how the complaint about it begins."""
    change, complaint = HARM[kind]
    data = path.read_bytes()
    path.write_bytes(change(data, boundaries(data)))
    return f'{path}: {complaint.format(count)}'


@pytest.mark.parametrize('kind', HARM)
def test_damage_inside_of_a_shard_is_named_with_file_record_and_fix(tmp_path, kind):
    path = tmp_path / "caf\u00e9's [1]\\ shard"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for i in range(5):
            writer.write(b'%d' % i * 100)
    read = [(int(place), record.numpy()[:1]) for place, record in shard_records(str(path), 5)]
    assert read == [(i, b'%d' % i) for i in range(5)]
    complaint = harm(path, kind, 5)
    with pytest.raises(ValueError) as refusal, damage_named():
        list(shard_records(str(path), 5))
    assert str(refusal.value).startswith(complaint)
    assert 'delete it and run `avmae convert` again' in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_whatever_reads_records_holds_shards_to_their_description(
    records, dataset, pretrain_config, finetune_config, tmp_path
):
    folder = tmp_path / 'records'
    shutil.copytree(records, folder)
    kinds = {'train': 'between records', 'eval': 'in a picture'}
    shards = {split: max(dataset.shards(split), key=lambda x: x.num_examples) for split in kinds}
    complaints = {
        split: harm(folder / shards[split].path, kind, shards[split].num_examples)
        for split, kind in kinds.items()
    }
    splits = {
        split: tuple(shard.replace(num_bytes=None) for shard in held)
        for split, held in dataset.splits.items()
    }
    older = dataset.replace(splits=splits)  # sizes cannot tell
    save_dataset(str(folder), older)
    check_sizes(str(folder), older, kinds)
    training = training_batches(str(folder), older, pretrain_config, batch_size=8).take(6)
    testing = eval_batches(str(folder), older, finetune_config, batch_size=8, num_views=1)
    readers = {
        'train': (lambda: list(training), lambda: check_records(str(folder), older, 'train')),
        'eval': (lambda: list(testing), lambda: survey(str(folder))),
    }
    for split, reads in readers.items():
        for read in reads:
            with pytest.raises(ValueError) as refusal, damage_named():
                read()
            assert str(refusal.value).startswith(complaints[split])


def test_a_shard_with_too_many_records_is_named_where_no_size_tells(records, dataset, tmp_path):
    folder = tmp_path / 'records'
    shutil.copytree(records, folder)
    held = tuple(shard.replace(num_bytes=None) for shard in dataset.shards('eval'))
    older = dataset.replace(splits={**dataset.splits, 'eval': held})
    check_records(str(folder), older, 'eval')
    path = folder / held[-1].path
    data = path.read_bytes()
    path.write_bytes(data + data[: boundaries(data)[1]])
    with pytest.raises(ValueError) as refusal:
        check_records(str(folder), older, 'eval')
    complaint = f'{path}: holds more than its {held[-1].num_examples} records; delete it'
    assert str(refusal.value).startswith(complaint)


@pytest.mark.parametrize(
    ('size', 'message'),
    [
        (None, 'no such shard; run `avmae convert` again'),
        (0, 'has 0 bytes, must have'),
        (5000, 'has 5000 bytes, must have'),
        (500_000, 'has 500000 bytes, must have'),  # more records than there should be
    ],
)
def test_missing_and_short_shards_are_named_before_anything_is_read(
    records, dataset, tmp_path, size, message
):
    folder = tmp_path / 'records'
    shutil.copytree(records, folder)
    check_sizes(str(folder), dataset, ['train', 'eval'])
    first, second = (folder / dataset.shards('train')[i].path for i in (1, 2))
    for path in (first, second):
        path.unlink() if size is None else os.truncate(path, size)
    with pytest.raises(ValueError) as refusal:
        check_sizes(str(folder), dataset, ['train', 'eval'])
    assert str(refusal.value).startswith(f'{first}: {message}')
    assert str(refusal.value).endswith('(1 more shards are damaged)')
    check_sizes(str(folder), dataset, ['eval'])


def test_a_shard_that_goes_while_it_is_read_is_named(records, dataset, tmp_path, finetune_config):
    folder = tmp_path / 'records'
    shutil.copytree(records, folder)
    batches = eval_batches(str(folder), dataset, finetune_config, batch_size=8, num_views=1)
    gone = folder / dataset.shards('eval')[-1].path
    gone.unlink()
    with pytest.raises(ValueError, match=f'{gone}: no such shard; run'), damage_named():
        list(batches)
