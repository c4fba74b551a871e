"""Augmentation: what may change, by how much, and that a seed fixes all of it."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from avmae_tf.config import AugmentSpec, ColourJitter, Mixup, SpecAugment
from avmae_tf.data import augment
from avmae_tf.data.augment import (
    augment_frames,
    flip,
    jitter_colour,
    mask_spectrogram,
    mix,
    mixup,
    sample_beta,
    shift_time,
    stripes,
)

FIXTURE = Path(__file__).parent / 'fixtures/mixup_per_modality.npz'
STILL = {'probability': 0.0, 'drop_probability': 0.0}
NO_CHANGE = {'brightness': 0.0, 'contrast': 0.0, 'saturation': 0.0, 'hue': 0.0}


def seed(number):
    return tf.constant([number, 7])


def picture(frames=2, size=8):
    values = np.random.default_rng(0).integers(0, 256, [frames, size, size, 3])
    return tf.constant(values, tf.uint8)


def test_half_of_the_clips_are_flipped():
    frames = picture()
    mirrored = frames.numpy()[:, :, ::-1]
    flips = [np.array_equal(flip(frames, seed(i)), mirrored) for i in range(200)]
    assert 70 < sum(flips) < 130
    assert all(np.array_equal(flip(frames, seed(i)), frames) for i in range(200) if not flips[i])


def test_colours_change_as_often_as_asked():
    frames = picture()
    spec = ColourJitter(probability=0.8, drop_probability=0.0)
    changed = [not np.array_equal(jitter_colour(frames, spec, seed(i)), frames) for i in range(200)]
    assert 140 < sum(changed) < 180


def test_dropped_colour_is_the_luma():
    frames = picture()
    grey = jitter_colour(frames, ColourJitter(**{**STILL, 'drop_probability': 1.0}), seed(0))
    luma = frames.numpy() @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(grey, np.repeat(luma[..., None], 3, axis=-1), atol=0.51)


def test_jitter_without_range_changes_nothing():
    frames = picture()
    spec = ColourJitter(probability=1.0, drop_probability=0.0, **NO_CHANGE)
    np.testing.assert_allclose(
        tf.cast(jitter_colour(frames, spec, seed(0)), tf.int32), tf.cast(frames, tf.int32), atol=1
    )


def jittered(frames, name, largest, number):
    """`frames` after one kind of change alone, and the draw that it was made with."""
    settings = {**NO_CHANGE, name: largest}
    spec = ColourJitter(probability=1.0, drop_probability=0.0, **settings)
    drawn = augment.sample_uniform(seed(number), 6)
    names = ('brightness', 'saturation', 'contrast', 'hue')
    fraction = float(drawn[2 + names.index(name)])
    result = jitter_colour(tf.constant(frames, tf.uint8), spec, seed(number)).numpy()
    return result.astype(float), largest * (2.0 * fraction - 1.0)


@pytest.mark.parametrize('number', range(4))
def test_each_change_of_colour_follows_its_definition(number):
    frames = np.random.default_rng(1).integers(100, 156, [2, 8, 8, 3])  # far from being clipped
    got, added = jittered(frames, 'brightness', 0.125, number)
    np.testing.assert_allclose(got, frames + 255 * added, atol=0.6)
    got, change = jittered(frames, 'contrast', 0.4, number)
    mean = frames.mean(axis=(0, 1, 2))
    np.testing.assert_allclose(got, mean + (1 + change) * (frames - mean), atol=0.6)
    got, change = jittered(frames, 'saturation', 0.4, number)
    luma = (frames @ [0.299, 0.587, 0.114])[..., None]
    np.testing.assert_allclose(got, luma + (1 + change) * (frames - luma), atol=0.6)
    got, change = jittered(frames, 'hue', 0.5, number)
    np.testing.assert_allclose((got @ [0.299, 0.587, 0.114])[..., None], luma, atol=0.8)
    assert np.abs(got - frames).max() > 5 * abs(change)


def test_a_third_of_a_turn_of_hue_exchanges_the_primaries():
    there = augment.hue_rotation(1 / 3).numpy().argmax(axis=0)
    back = augment.hue_rotation(-1 / 3).numpy().argmax(axis=0)
    assert sorted(there) == [0, 1, 2] and (there != [0, 1, 2]).all()
    assert there[back].tolist() == [0, 1, 2]


def test_all_frames_of_a_clip_change_alike():
    frames = tf.repeat(picture(1), 3, axis=0)
    spec = AugmentSpec.model_validate('vggsound')
    for i in range(5):
        changed = augment_frames(frames, True, spec, seed(i)).numpy()
        assert (changed == changed[:1]).all()


def test_shift_goes_round():
    spectrogram = tf.reshape(tf.range(40.0), [10, 4, 1])
    offsets = set()
    for i in range(50):
        shifted = shift_time(spectrogram, seed(i)).numpy()
        offsets.add(int(shifted[0, 0, 0]))
        assert sorted(shifted.ravel()) == list(range(40))
        assert (np.diff(shifted[:, 0, 0]) % 40 == 4).all()
    assert offsets == set(range(0, 40, 4))


def test_stripes_reach_their_width_and_both_ends_and_no_further():
    drawn = np.stack([stripes(20, 1, 6, seed(i)).numpy() for i in range(400)])
    assert set(drawn.sum(axis=1)) == set(range(7))
    assert (np.diff(np.pad(drawn, [(0, 0), (1, 1)]).astype(int), axis=1) == 1).sum(1).max() == 1
    assert drawn[:, 0].any() and drawn[:, -1].any()
    assert not stripes(20, 0, 6, seed(0)).numpy().any()


def test_masks_are_zero_bands_and_stretches_and_leave_the_rest():
    spectrogram = tf.random.stateless_normal([800, 128, 1], [0, 0]) - 5.0
    spec = SpecAugment(frequency_masks=2, frequency_width=36, time_masks=4, time_width=48)
    most_bands = most_times = 0
    for i in range(20):
        masked = mask_spectrogram(spectrogram, spec, seed(i)).numpy()[..., 0]
        zero = masked == 0.0
        bands, times = zero.all(axis=0), zero.all(axis=1)
        assert (zero == (bands[None] | times[:, None])).all()
        np.testing.assert_array_equal(masked[~zero], spectrogram.numpy()[..., 0][~zero])
        most_bands, most_times = max(most_bands, bands.sum()), max(most_times, times.sum())
    assert 36 < most_bands <= 72 and 48 < most_times <= 192


def test_mixing_equals_the_reference():
    expected = np.load(FIXTURE)
    for modality, weight in zip(('video', 'audio'), expected['weights'], strict=True):
        weight = tf.constant(weight)
        got = mix(tf.constant(expected[modality]), weight)
        np.testing.assert_allclose(got, expected[f'mixed_{modality}'], atol=1e-6)
        got = mix(tf.constant(expected['labels']), weight)
        np.testing.assert_allclose(got, expected[f'labels_{modality}'], atol=1e-6)


def weight_of(mixed, x):
    """The weight that mixed [0, 1] values `x` with `x` reversed."""
    return (mixed[0] - x[::-1][0]) / (x[0] - x[::-1][0])


@pytest.mark.parametrize('per_modality', [False, True])
def test_labels_are_mixed_with_the_weight_of_their_modality(per_modality):
    inputs = {
        'video': tf.constant([1.0, 0.0, 5.0, 3.0]),
        'audio': tf.constant([2.0, 1.0, 0.0, 4.0]),
    }
    labels = {'noun': tf.constant([[1.0], [0.0], [0.0], [0.0]]), 'verb': tf.eye(4)}
    spec = Mixup(alpha=0.5, per_modality=per_modality)
    mixed, mixed_labels = mixup(inputs, labels, seed(3), spec=spec)
    weights = {m: float(weight_of(mixed[m], inputs[m])) for m in inputs}
    for m, weight in weights.items():
        np.testing.assert_allclose(mixed_labels[m]['noun'][0, 0], weight, atol=1e-6)
        np.testing.assert_allclose(np.diag(mixed_labels[m]['verb']), [weight] * 4, atol=1e-6)
    assert (abs(weights['video'] - weights['audio']) > 1e-3) == per_modality
    again, _ = mixup(inputs, labels, seed(3), spec=spec)
    np.testing.assert_array_equal(mixed['video'], again['video'])


def test_weights_follow_the_beta_distribution():
    drawn = sample_beta(seed(0), 4000, 0.5).numpy()
    levels = np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])
    arcsine_law = np.sin(np.pi / 2 * levels) ** 2  # Beta(1/2, 1/2)
    np.testing.assert_allclose(np.quantile(drawn, levels), arcsine_law, atol=0.03)
    for alpha in (0.1, 1.25, 2.0):  # variance of Beta(a, a)
        drawn = sample_beta(seed(1), 4000, alpha).numpy()
        np.testing.assert_allclose(drawn.mean(), 0.5, atol=0.03)
        np.testing.assert_allclose(drawn.var(), 1 / (4 * (2 * alpha + 1)), rtol=0.06)


def test_mixup_compiles_for_accelerators():
    @tf.function(jit_compile=True)
    def compiled(x, number):
        return mixup({'audio': x}, x, tf.stack([number, 0]), spec=Mixup())

    mixed, labels = compiled(tf.constant([[0.0], [1.0]]), 3)
    np.testing.assert_allclose(mixed['audio'], labels['audio'])
