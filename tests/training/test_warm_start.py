"""A classifier takes the blocks of its pretrained encoder, path to path."""

import os

import numpy as np
import pytest

from avmae_tf.config import MODALITIES, BackboneSpec, Bottleneck, Early, Mid, Separate, check_start
from avmae_tf.models.builders import build_avmae, build_classifier
from avmae_tf.training.image_vit import load_image_vit
from avmae_tf.training.warm_start import resize_positions, warm_start


@pytest.fixture(scope='module')
def pretrained(pretrain_config):
    return build_avmae(pretrain_config)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.weights, b.weights, strict=True))


def test_mid_encoder_into_both_streams(pretrained, finetune_config):
    model = build_classifier(finetune_config, {'label': 3})
    taken = warm_start(model, pretrained)
    separate, joint = (stage.stack_of('video') for stage in pretrained.encoder.stages)
    for modality in ('video', 'audio'):
        path = model.encoder.path(modality)
        own = pretrained.encoder.stages[0].stack_of(modality)
        assert all(same(a, b) for a, b in zip(path, [*own.blocks, *joint.blocks], strict=True))
        assert same(model.embeddings[modality], pretrained.embeddings[modality])
    assert not same(model.encoder.path('audio')[0], separate.blocks[0])
    assert same(model.encoder.norm, joint.norm)
    assert taken.left == ('head', 'bottlenecks')
    assert '3 video blocks' in str(taken)


def test_the_streams_are_untied_after_the_copy(pretrained, finetune_config):
    model = build_classifier(finetune_config, {'label': 3})
    warm_start(model, pretrained)
    video, audio = (model.encoder.path(m)[-1].mlp.out.bias for m in ('video', 'audio'))
    video.assign_add(video + 1)
    assert not np.array_equal(video, audio)


def test_one_modality_alone(pretrained, finetune_config):
    model = build_classifier(finetune_config.replace(modalities=('audio',)), {'label': 3})
    taken = warm_start(model, pretrained)
    assert taken.taken == ('audio embedding', '3 audio blocks', 'last norm')


@pytest.mark.parametrize(
    ('field', 'value'), [('width', 48), ('num_layers', 4), ('num_heads', 4), ('mlp_width', 96)]
)
def test_another_backbone_is_refused(pretrained, finetune_config, field, value):
    other = finetune_config.replace(backbone=finetune_config.backbone.replace(**{field: value}))
    before = finetune_config.backbone.model_dump()[field]
    message = f'the backbone.{field} is {before}, that of the classifier {value}; give both'
    with pytest.raises(ValueError, match=message):
        warm_start(build_classifier(other, {'label': 3}), pretrained)


def test_other_patches_of_as_many_values_are_refused(pretrained, finetune_config):
    audio = finetune_config.audio.replace(patch=(32, 16))
    model = build_classifier(finetune_config.replace(audio=audio), {'label': 3})
    with pytest.raises(
        ValueError, match=r'the audio.patch is \(16, 32\), that of the classifier \(32, 16\)'
    ):
        warm_start(model, pretrained)


def test_what_the_classifier_has_no_place_for_is_said(pretrain_config, finetune_config):
    rich = build_avmae(pretrain_config.replace(positions='learned', modality_tokens=True))
    said = warm_start(build_classifier(finetune_config, {'label': 3}), rich)
    assert str(said).endswith(
        '; no use for video positions, video token, audio positions, audio token'
    )


def test_a_modality_that_was_not_pretrained_takes_the_blocks_of_the_other(
    pretrain_config, finetune_config
):
    audio = build_avmae(pretrain_config.replace(modalities=('audio',)))
    said = warm_start(build_classifier(finetune_config, {'label': 3}), audio)
    assert '3 video blocks from those of audio' in said.taken and 'video embedding' in said.left


def test_two_unimodal_encoders_give_a_stream_each(pretrain_config, finetune_config):
    video, audio = (build_avmae(pretrain_config.replace(modalities=(m,))) for m in MODALITIES)
    model = build_classifier(finetune_config, {'label': 3})
    taken = warm_start(model, audio, video)
    for modality, source in (('video', video), ('audio', audio)):
        pairs = zip(source.encoder.path(modality), model.encoder.path(modality), strict=True)
        assert all(same(a, b) for a, b in pairs)
    assert taken.left == ('head', 'last norm', 'bottlenecks')


def test_the_pretraining_encoder_itself_keeps_all_its_norms(pretrained, finetune_config):
    for i, norm in enumerate(pretrained.encoder.norms('video').values()):
        norm.scale.assign(norm.scale + i + 1)
    model = build_classifier(finetune_config.replace(fusion=Mid(fused_layers=1)), {'label': 3})
    assert warm_start(model, pretrained).left == ('head',)
    for modality in MODALITIES:
        for place, norm in pretrained.encoder.norms(modality).items():
            assert same(norm, model.encoder.norms(modality)[place])


def test_separate_streams_do_not_fit_one_stack(pretrain_config, finetune_config):
    separate = build_avmae(pretrain_config.replace(encoder=Separate()))
    model = build_classifier(finetune_config.replace(fusion=Early()), {'label': 3})
    with pytest.raises(ValueError, match='block 0 of the classifier serves both modalities'):
        warm_start(model, separate)
    model = build_classifier(finetune_config, {'label': 3})
    assert warm_start(model, separate).left == ('head', 'last norm', 'bottlenecks')


def test_an_earlier_classifier_gives_all_but_its_head(finetune_config):
    earlier = build_classifier(finetune_config, {'label': 7})
    for variable in earlier.variables:
        variable.assign(variable + 1)
    model = build_classifier(finetune_config, {'noun': 3, 'verb': 2})
    taken = warm_start(model, earlier)
    assert taken.left == ('head',) and 'bottlenecks' in taken.taken
    pairs = zip(earlier.variables, model.variables, strict=True)
    others = [(a, b) for a, b in pairs if '/head/' not in a.name]
    assert len(others) == len(model.variables) - 2
    for a, b in others:
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ('encoder', 'fusion', 'block'),
    [
        (Separate(), Early(), 0),
        (Mid(fused_layers=1), 'shared', 0),
        (Mid(fused_layers=1), Mid(fused_layers=2), 1),
        (Mid(fused_layers=2), Mid(fused_layers=1), None),
        (Early(), 'shared', None),
        (Separate(), Bottleneck(fusion_layer=1), None),
        ('shared', Separate(), None),
    ],
)
def test_settings_foretell_what_warm_start_refuses(
    pretrain_config, finetune_config, monkeypatch, encoder, fusion, block
):
    config = finetune_config.replace(fusion=fusion)
    pretraining = pretrain_config.replace(encoder=encoder, decoder=pretrain_config.decoder)

    def refusal(check):
        with pytest.raises(ValueError, match='serves both modalities') as refused:
            check()
        return str(refused.value).partition(' of the classifier')[0].rpartition(': ')[2]

    def by_settings():
        check_start(config, [pretraining], ['m'])

    def by_blocks():
        warm_start(build_classifier(config, {'label': 2}), build_avmae(pretraining))

    if block is None:
        by_settings()
        return by_blocks()
    assert refusal(by_settings) == f'block {block}'
    monkeypatch.setattr('avmae_tf.training.warm_start.check_start', lambda *_: None)
    assert refusal(by_blocks) == f'block {block}'


def test_two_encoders_have_no_block_in_common(pretrain_config, finetune_config):
    sources = [pretrain_config.replace(modalities=(m,)) for m in MODALITIES]
    check_start(finetune_config, sources, ['v', 'a'])
    with pytest.raises(ValueError, match='v: block 0 of the classifier serves both'):
        check_start(finetune_config.replace(fusion=Early()), sources, ['v', 'a'])


def test_a_model_that_would_not_be_used_is_refused(pretrain_config, finetune_config):
    audio = pretrain_config.replace(modalities=('audio',))
    with pytest.raises(ValueError, match='b: nothing is left to take from it, a has'):
        check_start(finetune_config, [pretrain_config, audio], ['a', 'b'])
    with pytest.raises(ValueError, match='got 3: a, b, c'):
        check_start(finetune_config, [audio] * 3, ['a', 'b', 'c'])


def test_a_classifier_of_other_modalities_is_refused(finetune_config):
    audio = finetune_config.replace(modalities=('audio',))
    check_start(audio, [finetune_config], ['c'])
    with pytest.raises(ValueError, match=r"c: a classifier of audio knows nothing of video.*\['au"):
        check_start(finetune_config, [audio], ['c'])
    video = finetune_config.replace(modalities=('video',))
    check_start(finetune_config, [audio, video], ['a', 'v'])


def test_a_table_of_positions_is_stretched_along_each_axis():
    table = np.array([[0.0], [1.0], [10.0], [11.0]])  # time x place
    assert resize_positions(table, (2, 2), (2, 2)).ravel().tolist() == [0, 1, 10, 11]
    longer = resize_positions(table, (2, 2), (4, 2))
    assert longer[:, 0].tolist() == [0, 1, 2.5, 3.5, 7.5, 8.5, 10, 11]


def test_learned_positions_follow_a_longer_input(pretrain_config, finetune_config):
    learned = build_avmae(pretrain_config.replace(positions='learned'))
    video = finetune_config.video.replace(num_frames=8)
    longer = finetune_config.replace(positions='learned', video=video)
    model = build_classifier(longer, {'label': 3})
    warm_start(model, learned)
    source, target = (x.embeddings['video'] for x in (learned, model))
    expected = resize_positions(source.positions.numpy(), source.grid.grid, target.grid.grid)
    np.testing.assert_allclose(target.positions, expected)


@pytest.fixture
def image_vit(tmp_path):
    """A small ViT in the layout of the public files, and its arrays."""
    width, heads, mlp = 32, 2, 64
    shapes = {'embedding/kernel': (16, 16, 3, width), 'embedding/bias': (width,)}
    shapes |= {'Transformer/posembed_input/pos_embedding': (1, 1 + 4, width), 'cls': (1, 1, width)}
    for i in range(3):
        block = f'Transformer/encoderblock_{i}'
        for name in ('LayerNorm_0', 'LayerNorm_2'):
            shapes |= {f'{block}/{name}/scale': (width,), f'{block}/{name}/bias': (width,)}
        attention = f'{block}/MultiHeadDotProductAttention_1'
        for name in ('query', 'key', 'value'):
            shapes[f'{attention}/{name}/kernel'] = (width, heads, width // heads)
            shapes[f'{attention}/{name}/bias'] = (heads, width // heads)
        shapes[f'{attention}/out/kernel'] = (heads, width // heads, width)
        shapes[f'{attention}/out/bias'] = (width,)
        shapes[f'{block}/MlpBlock_3/Dense_0/kernel'] = (width, mlp)
        shapes[f'{block}/MlpBlock_3/Dense_0/bias'] = (mlp,)
        shapes[f'{block}/MlpBlock_3/Dense_1/kernel'] = (mlp, width)
        shapes[f'{block}/MlpBlock_3/Dense_1/bias'] = (width,)
    norm = 'Transformer/encoder_norm'
    shapes |= {f'{norm}/scale': (width,), f'{norm}/bias': (width,)}
    random = np.random.default_rng(0)
    arrays = {k: random.normal(0, 0.3, shape).astype(np.float32) for k, shape in shapes.items()}
    np.savez(tmp_path / 'vit.npz', **arrays)
    return str(tmp_path / 'vit.npz'), arrays


def reference_block(x, arrays, name):
    """The block in numpy, straight from the arrays of the file."""

    def norm(x, layer):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return x * arrays[f'{layer}/scale'] + arrays[f'{layer}/bias']

    attention, y = f'{name}/MultiHeadDotProductAttention_1', norm(x, f'{name}/LayerNorm_0')
    q, k, v = (
        np.einsum('nd,dhk->hnk', y, arrays[f'{attention}/{part}/kernel'])
        + arrays[f'{attention}/{part}/bias'][:, None]
        for part in ('query', 'key', 'value')
    )
    scores = np.exp(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1]))
    mixed = scores / scores.sum(-1, keepdims=True) @ v
    out = np.einsum('hnk,hkd->nd', mixed, arrays[f'{attention}/out/kernel'])
    x = x + out + arrays[f'{attention}/out/bias']
    mlp = f'{name}/MlpBlock_3'
    hidden = norm(x, f'{name}/LayerNorm_2') @ arrays[f'{mlp}/Dense_0/kernel']
    hidden = hidden + arrays[f'{mlp}/Dense_0/bias']
    hidden = hidden / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)))
    return x + hidden @ arrays[f'{mlp}/Dense_1/kernel'] + arrays[f'{mlp}/Dense_1/bias']


def test_an_image_vit_starts_both_streams(image_vit, finetune_config):
    path, arrays = image_vit
    config = finetune_config.replace(
        positions='learned', audio=finetune_config.audio.replace(patch=(16, 16))
    )
    source = load_image_vit(path, config)
    model = build_classifier(config, {'label': 3})
    assert warm_start(model, source).left == ('head', 'bottlenecks')
    x = np.random.default_rng(1).normal(size=[5, 32]).astype(np.float32)
    for modality in MODALITIES:
        for i, block in enumerate(model.encoder.path(modality)):
            expected = reference_block(x, arrays, f'Transformer/encoderblock_{i}')
            np.testing.assert_allclose(block(x[None])[0], expected, rtol=1e-3, atol=1e-4)
    image = np.random.default_rng(2).normal(size=[16, 16, 3]).astype(np.float32)
    tubelet = np.stack([np.zeros_like(image), image]).reshape(1, 1, -1)
    expected = np.einsum('yxc,yxcd->d', image, arrays['embedding/kernel'])
    answer = model.embeddings['video'].projection(tubelet)[0, 0]
    np.testing.assert_allclose(answer, expected + arrays['embedding/bias'], rtol=1e-3, atol=1e-4)
    table = arrays['Transformer/posembed_input/pos_embedding'][0, 1:]
    np.testing.assert_allclose(model.embeddings['video'].positions[:4], table, rtol=1e-6)


@pytest.mark.parametrize('scheme', ['', 'file://'])
def test_an_image_vit_of_another_size_is_refused(image_vit, finetune_config, scheme):
    wide = finetune_config.replace(
        backbone=BackboneSpec(width=64, num_layers=3, num_heads=2, mlp_width=64)
    )
    with pytest.raises(
        ValueError, match=r'vit.npz: the backbone.width is 32, that of the classifier 64'
    ):
        load_image_vit(f'{scheme}{image_vit[0]}', wide)


@pytest.mark.parametrize('harm', ['not finite', 'cut', 'text'])
def test_an_image_vit_that_is_damaged_or_not_finite_is_refused_by_name(
    image_vit, finetune_config, harm
):
    path, arrays = image_vit
    if harm == 'not finite':
        bias = np.full_like(arrays['embedding/bias'], np.nan)
        np.savez(path, **{**arrays, 'embedding/bias': bias})
    elif harm == 'cut':
        os.truncate(path, os.path.getsize(path) // 2)
    else:
        with open(path, 'w') as f:
            f.write('an image ViT')
    message = r'vit\.npz: embedding/bias is not finite' if harm == 'not finite' else r'vit\.npz: .*'
    with pytest.raises(ValueError, match=f'{message}; give an') as refusal:
        load_image_vit(path, finetune_config)
    assert len(str(refusal.value).splitlines()) == 1
