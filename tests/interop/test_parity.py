"""Our models give the numbers of the authors' model, and the comparison can tell."""

import json

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from golden import fixture_paths

from avmae_tf.cli import cli
from avmae_tf.interop import mapping
from avmae_tf.interop.comparison import TOLERANCE
from avmae_tf.interop.fixtures import read_base, read_fixture
from avmae_tf.interop.gradients import compare_gradients
from avmae_tf.interop.parity import check_fixture
from avmae_tf.interop.scenic import Leaf

NOT_COMPARED = {  # why an array may be left out; anything else has to be known
    'whether there are two modalities',
    'no released configuration uses it',
    'as published, with its name mismatch',
    'a spectrogram of three channels, which ours never has',
    'logits are averaged, as in the release',
}


@pytest.mark.parametrize('name', [path.name for path in fixture_paths()])
def test_every_output_of_a_fixture_is_reproduced(fixtures, name):
    report = check_fixture(str(fixtures / name))
    assert [c for c in report if c.failed] == []
    assert any(c.error is not None for c in report)
    assert {c.note for c in report if c.error is None} <= NOT_COMPARED


def test_a_fixture_that_tensorflow_reaches_is_read_with_its_base(fixtures):
    paths = [f'file://{fixtures / path.name}' for path in fixture_paths()]
    fixture = next(f for f in map(read_fixture, paths) if 'base' in f.config)
    assert read_base(fixture).path == f'file://{fixtures}/{fixture.config["base"]}.npz'


@pytest.fixture
def changed(fixtures, tmp_path):
    """Writes a fixture with other arrays; None leaves one out."""

    def write(stem, changes):
        with np.load(fixtures / f'{stem}.npz') as archive:
            arrays = {name: archive[name] for name in archive.files}
        arrays |= {k: f(arrays.get(k)) for k, f in changes.items()}
        path = tmp_path / f'{stem}.npz'
        np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
        return str(path)

    return write


PRETRAINED, FINETUNED = 'mae_enc-midfusion_dec-shared', 'mbt_av_classification'


def failed(path):
    return {c.name for c in check_fixture(path) if c.failed}


@pytest.mark.parametrize(
    ('stem', 'name', 'seen'),
    [
        (PRETRAINED, 'params/Transformer_concat/encoderblock_1/LayerNorm_1/bias', 'pred/rgb'),
        (PRETRAINED, 'params/mask_token_rgb', 'inter/decoder_input/rgb'),
        (FINETUNED, 'params/bottleneck', 'logits_eval'),
        (FINETUNED, 'labels/spectrogram', 'loss_train'),
    ],
)
def test_a_small_change_of_what_is_given_is_seen_in_what_comes_out(changed, stem, name, seen):
    assert seen in failed(changed(stem, {name: lambda x: x + np.float32(0.01) * np.sign(x)}))


def test_a_change_of_one_part_in_a_thousand_of_an_output_is_seen(changed):
    path = changed(PRETRAINED, {'pred/rgb': lambda x: x * np.float32(1.001)})
    assert failed(path) == {'pred/rgb', 'pred/rgb (of the reconstructed tokens alone)'}


def test_visible_tokens_in_another_order_are_seen(changed):
    path = changed(
        PRETRAINED, {'mask/spectrogram/kept_indices': lambda x: np.ascontiguousarray(x[:, ::-1])}
    )
    assert 'inter/encoder_input/spectrogram' in failed(path)
    assert 'pred/spectrogram' not in failed(path)  # attention does not see the order


def test_another_warm_start_is_seen(fixtures, monkeypatch):
    monkeypatch.setattr(mapping, 'warm_start', lambda model, pretrained: None)
    assert any('encoder_norm' in c.note or 'Transformer' in c.note for c in check_fixture(
        str(fixtures / 'piece_pretrained_to_finetune_mapping.npz')) if c.failed)  # fmt: skip


def test_missing_unknown_and_misshapen_parameters_are_one_error(changed):
    path = changed(
        PRETRAINED,
        {
            'params/mask_token_rgb': lambda x: None,
            'params/nonsense/kernel': lambda x: np.zeros(3, np.float32),
            'params/embedding_rgb/bias': lambda x: x[:5],
        },
    )
    with pytest.raises(ValueError) as error:
        check_fixture(path)
    message = str(error.value)
    assert 'missing mask_token_rgb (1, 1, 24)' in message
    assert 'unknown nonsense/kernel' in message
    assert 'embedding_rgb/bias is (5,), the model needs (32,)' in message


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'kind': 'gan'}, r"kind must be one of .*, got 'gan'"),
        ({'kind': None}, 'or a piece'),
        ({'encoder': 'concatenate'}, r"encoder must be one of .*, got 'concatenate'"),
        ({'encoder_posemb': 'sinusoidal_3d'}, "encoder_posemb must be .*got 'sinusoidal_3d'"),
        ({'hidden': None}, 'width'),
    ],
)
def test_a_fixture_that_we_cannot_replay_is_one_clear_error(changed, settings, message):
    def change(text):
        return np.array(json.dumps({**json.loads(str(text)), **settings}))

    with pytest.raises(ValueError, match=message):
        check_fixture(changed(PRETRAINED, {'config_json': change}))


def test_the_command_says_which_arrays_differ(fixtures, changed):
    good = str(fixtures / 'piece_training_recipe.npz')
    done = CliRunner().invoke(cli, ['parity', good])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1].startswith('all agree: ')
    bad = changed('piece_training_recipe', {'gelu/y': lambda y: y + np.float32(0.001)})
    done = CliRunner().invoke(cli, ['parity', good, bad])
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1].startswith('1 differ')
    done = CliRunner().invoke(cli, ['parity', '--json', bad])
    (rows,) = json.loads(done.stdout).values()
    assert [row['name'] for row in rows if row['failed']] == ['gelu/y']
    assert all(row['error'] <= TOLERANCE for row in rows if not row['failed'] and row['error'])


def test_a_file_that_cannot_be_replayed_hides_no_other(fixtures, tmp_path):
    good, bad = str(fixtures / 'piece_training_recipe.npz'), tmp_path / 'bad.npz'
    bad.write_text('no archive')
    done = CliRunner().invoke(cli, ['parity', str(bad), good])
    assert 'all agree' in done.stdout
    assert isinstance(done.exception, ValueError) and f'{bad}: cannot be read' in str(
        done.exception
    )


def test_gradients_that_are_zero_are_beside_the_largest_of_all():
    variable = tf.Variable([1.0, 2.0])
    table = {n: Leaf(variable, (1,), slice(i, i + 1)) for i, n in enumerate(('large', 'zero'))}

    def failed(rounding):
        with tf.GradientTape(persistent=True) as tape:
            loss = tf.reduce_sum(variable * [3.0, rounding])
        theirs = {'large': np.array([3.0]), 'zero': np.array([0.0])}
        return [c.name for c in compare_gradients(tape, loss, table, theirs) if c.failed]

    assert failed(1e-8) == []
    assert failed(1e-6) == ['grads/zero']
