"""One clip to the views of it that a model is given, in training, testing and serving alike.

Shapes: V views, T frames, S spectrogram frames.
"""

import numpy as np
import tensorflow as tf

from avmae_tf.config import AUDIO, SAMPLE_RATE_HZ, VIDEO, AudioSpec, TrainingConfig, VideoSpec
from avmae_tf.data import augment, video
from avmae_tf.data.audio import log_mel, take_samples

Clip = dict[str, tf.Tensor]  # what `parse_record` reads


def durations(clip: Clip) -> tuple[tf.Tensor, tf.Tensor]:
    """Seconds of stored video and of stored audio, float32 scalars; 0 where there is none."""
    num_frames = tf.cast(tf.size(clip['frames']), tf.float32)
    video = tf.math.divide_no_nan(num_frames, clip['frames_per_second'])
    audio = tf.cast(tf.size(clip['waveform']), tf.float32) / SAMPLE_RATE_HZ
    return video, audio


def training_starts(
    clip: Clip, config: TrainingConfig, fraction: video.Number
) -> tuple[tf.Tensor, tf.Tensor]:
    """Seconds at which video and audio start: the audio at the same proportion of the clip.

    `fraction` in [0, 1] places the video window among those that fit; the audio goes round at
    the end of the clip. Where there is one place for the video, the audio is placed by itself.
    """
    video_start, audio_start = eval_starts(clip, config, fraction)
    if VIDEO not in config.modalities or config.video.sampling == 'segments':
        return video_start, audio_start
    video_seconds, audio_seconds = durations(clip)
    proportional = tf.math.divide_no_nan(video_start, video_seconds) * audio_seconds
    moves = video_seconds > config.video.span_seconds
    return video_start, tf.where(moves, proportional, audio_start)


def eval_starts(
    clip: Clip, config: TrainingConfig, fraction: video.Number
) -> tuple[tf.Tensor, tf.Tensor]:
    """Seconds at which video and audio start, each among the windows that fit."""
    video_seconds, audio_seconds = durations(clip)
    return (
        fraction * tf.maximum(video_seconds - (config.video.span_seconds or video_seconds), 0.0),
        fraction * tf.maximum(audio_seconds - config.audio.seconds, 0.0),
    )


def chosen_jpegs(
    clip: Clip, spec: VideoSpec, start: video.Number, offsets: video.Number = 0.5
) -> tf.Tensor:
    """JPEGs of one view, [T]; empty ones where there is no video.

    A view by stride begins `start` seconds into the clip, one by segments takes each of them at
    `offsets`, a number or [T] in [0, 1).
    """
    num_stored = tf.size(clip['frames'])

    def choose():
        if spec.sampling == 'segments':
            chosen = video.segment_indices(offsets, num_stored, spec)
        else:
            chosen = video.frame_indices(start, num_stored, clip['frames_per_second'], spec)
        return tf.gather(clip['frames'], chosen)

    return tf.cond(num_stored > 0, choose, lambda: tf.fill([spec.num_frames], ''))


def are_present(jpegs: tf.Tensor) -> tf.Tensor:
    """Whether `chosen_jpegs` found any."""
    return tf.strings.length(jpegs[0]) > 0


def view_frames(
    jpegs: tf.Tensor,
    spec: VideoSpec,
    corner: video.Pair = video.CENTRE,
    scale: video.Pair = (1.0, 1.0),
) -> tf.Tensor:
    """JPEGs [T] to uint8 [T, size_px, size_px, 3]; grey where there is no video.

    `corner` and `scale` are those of `crop_window`.
    """
    return tf.cond(
        are_present(jpegs),
        lambda: video.decode_frames(jpegs, spec, corner, scale),
        lambda: video.blank_frames(spec),
    )


def chosen_samples(clip: Clip, spec: AudioSpec, start: video.Number) -> tf.Tensor:
    """Sound of one view from `start` seconds on, [spec.num_samples]; silence if there is none."""
    begin = tf.cast(tf.round(start * SAMPLE_RATE_HZ), tf.int32)
    return take_samples(clip['waveform'], begin, spec.num_samples)


def eval_views(
    clip: Clip, config: TrainingConfig, num_views: int, num_crops: int = 1
) -> dict[str, tf.Tensor]:
    """`num_views` evenly spaced windows, each input with a leading axis of views; frames uint8.

    `num_crops` is 1, the centre, or 3 along the longer side: each window then gives three views
    in a row, which share its sound.
    """
    views = {modality: [] for modality in config.modalities}
    for i, fraction in enumerate(np.linspace(0.0, 1.0, num_views) if num_views > 1 else [0.5]):
        starts = eval_starts(clip, config, fraction)
        if VIDEO in views:
            jpegs = chosen_jpegs(clip, config.video, starts[0], (i + 0.5) / num_views)
            for place in {1: (0.5,), 3: (0.0, 0.5, 1.0)}[num_crops]:
                # One after the other: of two functions in which a damaged JPEG fails, TensorFlow
                # may report the one that it cancels for the other's sake.
                with tf.control_dependencies(views[VIDEO][-1:]):
                    views[VIDEO].append(view_frames(jpegs, config.video, (0.5, place)))
        if AUDIO in views:
            samples = chosen_samples(clip, config.audio, starts[1])
            views[AUDIO] += [log_mel(samples, config.audio)] * num_crops
    return {m: tf.stack(x) for m, x in views.items()}


def training_window(clip: Clip, config: TrainingConfig, seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """What `training_view` shows of a clip: JPEGs [T] and samples of a random window.

    JPEGs are empty where there are none, samples silence; 'sound' tells whether there was any.
    `seed` is [2].
    """
    by_place, by_offset = augment.split(seed, 2)
    (fraction,) = augment.sample_uniform(by_place, 1)
    starts = training_starts(clip, config, fraction)
    window = {}
    if VIDEO in config.modalities:
        offsets = tf.random.stateless_uniform([config.video.num_frames], by_offset)
        window[VIDEO] = chosen_jpegs(clip, config.video, starts[0], offsets)
    if AUDIO in config.modalities:
        window[AUDIO] = chosen_samples(clip, config.audio, starts[1])
        window['sound'] = tf.size(clip['waveform']) > 0
    return window


def training_view(window: Clip, config: TrainingConfig, seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """A `training_window` changed as `config.augment` says; frames still uint8. `seed` is [2].

    What the clip lacks stays blank.
    """
    spec = config.augment
    by_place, by_picture, by_sound = augment.split(seed, 3)
    inputs = {}
    if VIDEO in config.modalities:
        shorter, longer, height, width = augment.sample_uniform(by_place, 4)
        corner = tf.stack([shorter, longer]) if spec.random_crop else video.CENTRE
        scale = (1.0, 1.0)
        if spec.scale_jitter:
            scale = augment.between(tf.stack([height, width]), *spec.scale_jitter)
        frames = view_frames(window[VIDEO], config.video, corner, scale)
        seen = are_present(window[VIDEO])
        inputs[VIDEO] = augment.augment_frames(frames, seen, spec, by_picture)
    if AUDIO in config.modalities:
        spectrogram = log_mel(window[AUDIO], config.audio)
        inputs[AUDIO] = augment.augment_spectrogram(spectrogram, window['sound'], spec, by_sound)
    return inputs
