"""One clip to the views of it that a model is given, in training, testing and serving alike.

Shapes: V views, T frames, S spectrogram frames.
"""

import numpy as np
import tensorflow as tf

from avmae_tf.config import AUDIO, SAMPLE_RATE_HZ, VIDEO, AudioSpec, TrainingConfig, VideoSpec
from avmae_tf.data import augment, video
from avmae_tf.data.audio import log_mel, take_samples


def durations(clip: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Seconds of stored video and of stored audio, float32 scalars; 0 where there is none."""
    num_frames = tf.cast(tf.size(clip['frames']), tf.float32)
    video = tf.math.divide_no_nan(num_frames, clip['frames_per_second'])
    audio = tf.cast(tf.size(clip['waveform']), tf.float32) / SAMPLE_RATE_HZ
    return video, audio


def training_starts(clip, config: TrainingConfig, fraction) -> tuple[tf.Tensor, tf.Tensor]:
    """Seconds at which video and audio start: the audio at the same proportion of the clip.

    `fraction` in [0, 1] places the video window among those that fit; the audio goes round at
    the end of the clip. Where there is one place for the video, the audio is placed by itself.
    """
    video_start, audio_start = testing_starts(clip, config, fraction)
    if VIDEO not in config.modalities or config.video.sampling == 'segments':
        return video_start, audio_start
    video_seconds, audio_seconds = durations(clip)
    proportional = tf.math.divide_no_nan(video_start, video_seconds) * audio_seconds
    moves = video_seconds > config.video.span_seconds
    return video_start, tf.where(moves, proportional, audio_start)


def testing_starts(clip, config: TrainingConfig, fraction) -> tuple[tf.Tensor, tf.Tensor]:
    """Seconds at which video and audio start, each among the windows that fit."""
    video_seconds, audio_seconds = durations(clip)
    return (
        fraction * tf.maximum(video_seconds - (config.video.span_seconds or video_seconds), 0.0),
        fraction * tf.maximum(audio_seconds - config.audio.seconds, 0.0),
    )


def view_frames(
    clip, spec: VideoSpec, start, *, offsets=0.5, corner=video.CENTRE, scale=(1.0, 1.0)
) -> tf.Tensor:
    """Frames of one view, uint8 [T, size_px, size_px, 3]; grey where there is no video.

    A view by stride begins `start` seconds into the clip, one by segments takes each of them at
    `offsets`, a number or [T] in [0, 1); `corner` and `scale` are those of `crop_window`.
    """
    num_stored = tf.size(clip['frames'])

    def decode():
        if spec.sampling == 'segments':
            chosen = video.segment_indices(offsets, num_stored, spec)
        else:
            chosen = video.frame_indices(start, num_stored, clip['frames_per_second'], spec)
        return video.decode_frames(tf.gather(clip['frames'], chosen), spec, corner, scale)

    return tf.cond(num_stored > 0, decode, lambda: video.blank_frames(spec))


def view_spectrogram(clip, spec: AudioSpec, start) -> tf.Tensor:
    """Log-mel [frames, 128, 1] from `start` seconds on; that of silence where there is none."""
    begin = tf.cast(tf.round(start * SAMPLE_RATE_HZ), tf.int32)
    return log_mel(take_samples(clip['waveform'], begin, spec.num_samples), spec)


def testing_views(
    clip, config: TrainingConfig, num_views: int, num_crops: int = 1
) -> dict[str, tf.Tensor]:
    """`num_views` evenly spaced windows, each input with a leading axis of views.

    `num_crops` is 1, the centre, or 3 along the longer side: each window then gives three views
    in a row, which share its sound.
    """
    views = {modality: [] for modality in config.modalities}
    for i, fraction in enumerate(np.linspace(0.0, 1.0, num_views) if num_views > 1 else [0.5]):
        starts = testing_starts(clip, config, fraction)
        for place in {1: (0.5,), 3: (0.0, 0.5, 1.0)}[num_crops] if VIDEO in views else ():
            frames = view_frames(
                clip, config.video, starts[0], offsets=(i + 0.5) / num_views, corner=(0.5, place)
            )
            views[VIDEO].append(frames)
        if AUDIO in views:
            views[AUDIO] += [view_spectrogram(clip, config.audio, starts[1])] * num_crops
    return normalise({m: tf.stack(x) for m, x in views.items()})


def training_view(clip, config: TrainingConfig, seed) -> dict[str, tf.Tensor]:
    """A random window, changed as `config.augment` says; frames still uint8. `seed` is [2].

    What a clip lacks stays blank.
    """
    spec = config.augment
    by_place, by_offset, by_picture, by_sound = augment.split(seed, 4)
    fraction, shorter, longer, height, width = augment.draw(by_place, 5)
    starts = training_starts(clip, config, fraction)
    inputs = {}
    if VIDEO in config.modalities:
        low, high = spec.scale_jitter or (1.0, 1.0)
        frames = view_frames(
            clip,
            config.video,
            starts[0],
            offsets=tf.random.stateless_uniform([config.video.num_frames], by_offset),
            corner=tf.stack([shorter, longer]) if spec.random_crop else video.CENTRE,
            scale=augment.between(tf.stack([height, width]), low, high),
        )
        inputs[VIDEO] = tf.cond(
            tf.size(clip['frames']) > 0,
            lambda: augment.augment_frames(frames, spec, by_picture),
            lambda: frames,
        )
    if AUDIO in config.modalities:
        spectrogram = view_spectrogram(clip, config.audio, starts[1])
        inputs[AUDIO] = tf.cond(
            tf.size(clip['waveform']) > 0,
            lambda: augment.augment_spectrogram(spectrogram, spec, by_sound),
            lambda: spectrogram,
        )
    return inputs


def normalise(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Frames to float32 in [-1, 1], whatever else there is untouched."""
    return {k: video.normalise_frames(x) if k == VIDEO else x for k, x in batch.items()}
