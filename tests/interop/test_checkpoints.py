"""The authors' checkpoint files become our models, and what is not one is refused in a line."""

import struct

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from golden import CHECKPOINTS

from avmae_tf.cli import cli
from avmae_tf.config import Bottleneck, VideoSpec
from avmae_tf.interop.checkpoints import import_parameters, read_parameters
from avmae_tf.interop.fixtures import (
    finetune_config,
    inputs_of,
    masks_of,
    pretrain_config,
    read_fixture,
)
from avmae_tf.interop.msgpack import CHUNKED, flatten, read_checkpoint
from avmae_tf.interop.scenic import SUFFIXES, load_parameters, table_of
from avmae_tf.losses.reconstruction import ReconstructionLoss
from avmae_tf.models.builders import blank_inputs, build_avmae, build_classifier
from avmae_tf.models.classifier import mean_logits
from avmae_tf.training.checkpoints import load_model
from avmae_tf.training.warmup import to_wav


def pack(value) -> bytes:
    """What flax writes: maps, texts, whole numbers, and arrays as extension 1."""
    if isinstance(value, dict):
        items = b''.join(pack(k) + pack(v) for k, v in value.items())
        return struct.pack('>BI', 0xDF, len(value)) + items
    if isinstance(value, str):
        return struct.pack('>BI', 0xDB, len(value.encode())) + value.encode()
    if isinstance(value, bool):
        return b'\xc3' if value else b'\xc2'
    if isinstance(value, int):
        return struct.pack('>BQ', 0xCF, value)
    if isinstance(value, list | tuple):
        return struct.pack('>BI', 0xDD, len(value)) + b''.join(map(pack, value))
    if isinstance(value, bytes):
        return struct.pack('>BI', 0xC6, len(value)) + value
    inner = pack((value.shape, value.dtype.name, value.tobytes()))
    return struct.pack('>BIb', 0xC9, len(inner), 1) + inner


def nest(flat) -> dict:
    tree = {}
    for path, value in flat.items():
        *folders, leaf = path.split('/')
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[leaf] = value
    return tree


def drawn(model):
    """The model with every variable drawn anew, and its parameters under their names."""
    for i, variable in enumerate(model.trainable_variables):
        variable.assign(tf.random.stateless_normal(variable.shape, [i, 0], stddev=0.1))
    return {
        name: leaf.of(leaf.variable.numpy()) for name, leaf in table_of(model, SUFFIXES).items()
    }


def test_a_pretraining_checkpoint_gives_the_loss_of_its_fixture(fixtures):
    stem = 'mae_enc-midfusion_dec-shared'
    fixture = read_fixture(str(fixtures / f'{stem}.npz'))
    model = build_avmae(pretrain_config(fixture))
    path = str(CHECKPOINTS[stem])
    import_parameters(model, read_parameters(path), path)
    losses = ReconstructionLoss(model.config)
    outcome = model(inputs_of(fixture), masks_of(fixture))
    loss = losses.total(losses.by_modality(outcome))
    assert float(loss) == pytest.approx(float(fixture.arrays['loss/total']), rel=1e-5)
    assert float(loss) == pytest.approx(6.118107, rel=1e-5)


def test_a_finetuning_checkpoint_gives_the_logits_of_its_fixture(fixtures):
    stem = 'mbt_av_classification'
    fixture = read_fixture(str(fixtures / f'{stem}.npz'))
    model = build_classifier(finetune_config(fixture), {'label': 6})
    path = str(CHECKPOINTS[stem])
    import_parameters(model, read_parameters(path), path)
    logits = mean_logits(model(inputs_of(fixture)))
    np.testing.assert_allclose(logits, fixture.arrays['logits_eval'], atol=1e-4)


def test_the_audio_embedding_may_be_spelt_as_in_the_release(finetune_config):
    model = build_classifier(finetune_config, {'label': 3})
    arrays = {
        n.replace('embedding_spectrogram/', 'embedding_spec/'): x for n, x in drawn(model).items()
    }
    assert 'embedding_spec/kernel' in arrays
    other = build_classifier(finetune_config, {'label': 3})
    load_parameters(other, arrays)
    for a, b in zip(model.trainable_variables, other.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_configuration_is_refused_with_the_file_and_every_parameter(finetune_config):
    model = build_classifier(finetune_config, {'label': 6})
    path = str(CHECKPOINTS['mbt_av_classification'])
    with pytest.raises(ValueError, match=r'checkpoint_4321: .*unknown Transformer/encoderblock_3'):
        import_parameters(model, read_parameters(path), path)


def test_large_arrays_come_in_chunks(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    chunks = {str(i): part for i, part in enumerate(np.split(array.ravel(), [5, 10]))}
    tree = {'a': {CHUNKED: True, 'shape': {'0': 3, '1': 4}, 'chunks': chunks}}
    path = tmp_path / 'checkpoint'
    path.write_bytes(pack(tree))
    np.testing.assert_array_equal(read_checkpoint(str(path))['a'], array)


def test_values_of_other_kinds_are_read():
    tree = read_checkpoint(str(CHECKPOINTS['mae_enc-midfusion_dec-shared']))
    assert tree['global_step'] == 1234
    assert tree['rng'].dtype == np.uint32 and tree['rng'].shape == (2,)
    assert tree['model_state'] == {}
    moments = flatten(tree['optimizer']['state']['param_states'])
    assert moments['embedding_rgb/kernel/grad_ema'].shape == (2, 8, 8, 3, 32)


def test_a_file_that_tensorflow_reaches_is_read_alike(tmp_path):
    path = CHECKPOINTS['mbt_av_classification']
    here, there = (flatten(read_checkpoint(f'{scheme}{path}')) for scheme in ('', 'file://'))
    assert here.keys() == there.keys()
    for name, value in here.items():
        np.testing.assert_array_equal(there[name], value)
    for scheme in ('', 'file://'):
        with pytest.raises(ValueError, match='nothing: No such file'):
            read_checkpoint(f'{scheme}{tmp_path}/nothing')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'is empty'),
        (b'not a checkpoint at all', 'give a whole flax checkpoint file'),
        (pack({'a': 1}) + b'\x00', 'goes on after its end at byte'),
        (pack([1, 2]), 'holds a list'),
        (b'\xc1', '0xc1 at 0 is not MessagePack'),
    ],
)
def test_a_foreign_file_is_one_error_that_names_it(tmp_path, content, message):
    path = tmp_path / 'foreign'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f'foreign: .*{message}'):
        read_checkpoint(str(path))


@pytest.mark.parametrize('share', [0.01, 0.5, 0.999])
def test_a_truncated_file_is_one_error_that_names_it(tmp_path, share):
    whole = CHECKPOINTS['mbt_av_classification'].read_bytes()
    path = tmp_path / 'short'
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=r'short: ends after .* in the middle of a value'):
        read_checkpoint(str(path))


def test_a_checkpoint_without_parameters_is_refused(tmp_path):
    path = tmp_path / 'checkpoint'
    path.write_bytes(pack({'step': 3}))
    with pytest.raises(ValueError, match=r"under 'optimizer/target' or 'params', got \['step'\]"):
        read_parameters(str(path))


def run(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)


def recipe(tmp_path, config):
    path = tmp_path / 'recipe.yaml'
    path.write_text(config.to_json())  # JSON is YAML
    return path


def test_import_scenic_writes_a_model_that_reconstructs_alike(tmp_path, pretrain_config):
    model = build_avmae(pretrain_config)
    parameters = drawn(model)
    checkpoint = tmp_path / 'checkpoint'
    checkpoint.write_bytes(pack({'global_step': 7, 'optimizer': {'target': nest(parameters)}}))
    out = tmp_path / 'model'
    done = run('import-scenic', checkpoint, '--config', recipe(tmp_path, pretrain_config),
               '--out', out)  # fmt: skip
    assert f'{len(parameters)} parameters' in done.output
    again = load_model(str(out))
    masks = model.sample_masks(tf.constant([0, 1]), 2)
    inputs = {m: x + 0.5 for m, x in blank_inputs(pretrain_config, 2).items()}
    for m, x in model(inputs, masks).predicted.items():
        np.testing.assert_allclose(again(inputs, masks).predicted[m], x, atol=1e-5)


def test_import_scenic_serves_a_classifier(tmp_path, finetune_config):
    settings = finetune_config.replace(num_views=1)
    model = build_classifier(settings, {'label': 3})
    checkpoint, names = tmp_path / 'checkpoint', tmp_path / 'classes.txt'
    checkpoint.write_bytes(pack({'params': nest(drawn(model)), 'opt_state': {'0': {}}}))
    names.write_text('dog\ncat\nowl\n')
    config = recipe(tmp_path, settings)
    served = tmp_path / 'served'
    run('import-scenic', checkpoint, '--config', config, '--out', tmp_path / 'model',
        '--classes', names, '--saved-model', served)  # fmt: skip
    signature = tf.saved_model.load(str(served)).signatures['embed']
    jpeg = tf.io.encode_jpeg(tf.fill([32, 32, 3], tf.constant(99, tf.uint8)))
    embedding = signature(
        frames=tf.fill([1, 8], jpeg),
        frames_per_second=tf.constant([8.0]),
        audio=tf.constant([to_wav(np.zeros(16_000, np.int16))]),
    )['embedding']
    assert embedding.shape == (1, 64)
    names.write_text('dog\n')
    with pytest.raises(ValueError, match='served: exists already'):
        run('import-scenic', checkpoint, '--config', config, '--out', tmp_path / 'other',
            '--saved-model', served)  # fmt: skip
    with pytest.raises(ValueError, match=r'classes.txt: must name 3 classes, one a line, got 1'):
        run('import-scenic', checkpoint, '--config', config, '--out', tmp_path / 'other',
            '--classes', names)  # fmt: skip


def test_import_scenic_refuses_a_configuration_that_does_not_fit(tmp_path, finetune_config):
    checkpoint = tmp_path / 'checkpoint'
    checkpoint.write_bytes(
        pack({'params': nest(drawn(build_classifier(finetune_config, {'label': 3})))})
    )
    other = finetune_config.replace(
        fusion=Bottleneck(fusion_layer=1, num_bottlenecks=3),
        video=VideoSpec(num_frames=4, frames_per_second=4.0, size_px=32, patch=(2, 8, 8)),
    )
    with pytest.raises(ValueError, match=r'bottleneck is \(1, 2, 32\), the model needs \(1, 3, 32'):
        run('import-scenic', checkpoint, '--config', recipe(tmp_path, other),
            '--out', tmp_path / 'model')  # fmt: skip
    assert not (tmp_path / 'model').exists()


def test_import_scenic_takes_the_names_of_two_heads(tmp_path, finetune_config):
    model = build_classifier(finetune_config, {'noun': 3, 'verb': 2})
    checkpoint = tmp_path / 'checkpoint'
    checkpoint.write_bytes(pack({'params': nest(drawn(model))}))
    names = {'noun': ['cup', 'pan', 'lid'], 'verb': ['take', 'put']}
    files = []
    for head, classes in names.items():
        path = tmp_path / f'{head}.txt'
        path.write_text('\n'.join(classes))
        files += ['--classes', f'{head}={path}']
    run('import-scenic', checkpoint, '--config', recipe(tmp_path, finetune_config),
        '--out', tmp_path / 'model', *files)  # fmt: skip
    again = load_model(str(tmp_path / 'model'))
    assert again.head_sizes == {'noun': 3, 'verb': 2}
    np.testing.assert_array_equal(again.head.kernel, model.head.kernel)


def extension(inner: bytes, kind: int = 1) -> bytes:
    return struct.pack('>BIb', 0xC9, len(inner), kind) + inner


def nested_extensions(depth: int) -> bytes:
    inner = b'\xc0'
    for _ in range(depth):
        inner = extension(inner)
    return inner


@pytest.mark.parametrize(
    'content',
    [
        b'\x81\xa1a' * 100_000,  # maps in maps
        b'\x81\xa1a' + b'\x91' * 100_000,  # lists in lists
        b'\x81\xa1a' + nested_extensions(300),
        b'\xdf\xff\xff\xff\xff\xa1a\x01',  # four thousand million pairs
        b'\x81\xa1a\xdd\xff\xff\xff\xff\x01',  # as many in a list
        b'\x81\xa1a\xc6\xff\xff\xff\xff\x01',  # as many bytes
        b'\x81\xa1a' + extension(pack([[2**40, 2**20], 'float32', b'\x00' * 4])),
        b'\x81\xa1a' + extension(pack([[1], 'object', b'\x00' * 8])),
        b'\x81\xa1a' + extension(pack([[1], 'float9', b'\x00' * 4])),
        b'\x81\xa1a' + extension(pack([1, 2])),
        pack({CHUNKED: True, 'shape': 3, 'chunks': 'x'}),
        pack({CHUNKED: True, 'shape': {'0': 2**40}, 'chunks': {'0': np.zeros(3)}}),
    ],
)
def test_forged_files_are_one_error_at_once(tmp_path, content):
    path = tmp_path / 'checkpoint'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f'^{path}: .*; give a whole flax checkpoint file'):
        read_checkpoint(str(path))


@pytest.mark.parametrize('params', [{'params': {'params': np.zeros(2)}}, {'params': {}}])
def test_parameters_that_are_none_are_no_crash(tmp_path, params):
    path = tmp_path / 'checkpoint'
    path.write_bytes(pack(params))
    assert set(read_parameters(str(path))) <= {'params'}
