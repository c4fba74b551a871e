"""A folder of records describes itself, or is refused by name."""

import pytest

from avmae_tf.data.records import DATASET_FILE, load_dataset


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (b'', r'all of it: Invalid JSON: EOF'),
        (b'{"heads": {}', r'all of it: Invalid JSON: EOF'),
        (b'caf\xe9', r'all of it: Invalid JSON'),
        (b'{"heads": {}, "splits": {}, "fingerprint": ""}', r'media: Field required'),
        (b'{"splits": {"train": [{"path": "a"}]}}', r'(media|splits.train.0.num_examples): Field'),
    ],
)
def test_a_damaged_description_is_named_with_its_field_and_the_fix(tmp_path, text, message):
    (tmp_path / DATASET_FILE).write_bytes(text)
    with pytest.raises(ValueError, match=message) as refusal:
        load_dataset(str(tmp_path))
    assert str(refusal.value).startswith(f'{tmp_path}/{DATASET_FILE}: must be as `avmae convert`')
    assert 'make the records again' in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
