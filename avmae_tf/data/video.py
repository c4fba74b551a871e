"""From stored JPEG frames to the frames of one view (Sec. 4.1).

Shapes: F stored frames, T frames of a view, H and W stored height and width.
"""

import tensorflow as tf

from avmae_tf.config import VideoSpec


def window_seconds(spec: VideoSpec) -> float:
    return spec.num_frames / spec.frames_per_second


def frame_indices(start_seconds, num_stored, stored_rate, spec: VideoSpec) -> tf.Tensor:
    """Stored frames [T] nearest to `start_seconds` + k / rate, going round at the end."""
    times = start_seconds + tf.range(spec.num_frames, dtype=tf.float32) / spec.frames_per_second
    nearest = tf.cast(tf.round(times * stored_rate), tf.int32)
    return tf.math.floormod(nearest, tf.maximum(num_stored, 1))


def decode_frames(jpegs: tf.Tensor, spec: VideoSpec, corner: tf.Tensor) -> tf.Tensor:
    """JPEGs [T] to [T, size, size, 3] in [-1, 1].

    The square has the side `size_px`, or that of the frame where the frame is smaller, and is
    then enlarged. `corner` in [0, 1]^2 says where it lies; (0.5, 0.5) is the centre.
    """
    size = tf.io.extract_jpeg_shape(jpegs[0])[:2]
    side = tf.minimum(spec.size_px, tf.reduce_min(size))
    offset = tf.cast(tf.round(corner * tf.cast(size - side, tf.float32)), tf.int32)
    window = tf.concat([offset, [side, side]], axis=0)

    def decode(jpeg):
        return tf.io.decode_and_crop_jpeg(jpeg, window, channels=3, dct_method='INTEGER_FAST')

    frames = tf.map_fn(decode, jpegs, fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8))
    frames = tf.cast(frames, tf.float32)
    wanted = [spec.size_px, spec.size_px]
    frames = tf.cond(side < spec.size_px, lambda: tf.image.resize(frames, wanted), lambda: frames)
    return tf.ensure_shape(frames / 127.5 - 1.0, spec.input_shape)


def blank_frames(spec: VideoSpec) -> tf.Tensor:
    """What a clip without video shows: mid-grey."""
    return tf.zeros(spec.input_shape)
