"""From stored JPEG frames to the frames of one view (Sec. 4.1).

Frames are uint8 until a model takes its patches: a quarter of the memory to copy.

Shapes: F stored frames, T frames of a view, H and W stored height and width.
"""

import functools

import tensorflow as tf

from avmae_tf.config import VideoSpec
from avmae_tf.data.checks import rare

Number = tf.Tensor | float
Pair = tf.Tensor | tuple[float, float]
CENTRE = (0.5, 0.5)
JPEG_BLOCK_PX = 16  # of a picture whose colours are stored at half its width
MAX_STEP = 1.25  # stored pixels to one of the view; from more, pixels between two would be lost
DECODER_RATIOS = (1, 2, 4, 8)
# Markers and lengths of segments where encoders that leave out comments write them.
_LAYOUT = {
    0: b'\xff\xd8\xff\xe0\x00\x10',
    20: b'\xff\xdb\x00\x43',
    89: b'\xff\xdb\x00\x43',
    158: b'\xff\xc0\x00\x11',
}
_SIZE_AT = range(163, 167)  # of JPEGs of that layout: height and width, two bytes each


def frame_indices(
    start_seconds: Number, num_stored: tf.Tensor, stored_rate: Number, spec: VideoSpec
) -> tf.Tensor:
    """Stored frames [T] nearest to `start_seconds` + k / rate; a clip shorter than that goes round.

    Where the clip is as long, the last frame stands until its end.
    """
    times = start_seconds + tf.range(spec.num_frames, dtype=tf.float32) / spec.frames_per_second
    nearest = tf.cast(tf.round(times * stored_rate), tf.int32)
    fits = tf.cast(num_stored, tf.float32) >= spec.span_seconds * stored_rate
    standing = tf.minimum(nearest, num_stored - 1)
    return tf.where(fits, standing, tf.math.floormod(nearest, tf.maximum(num_stored, 1)))


def segment_indices(offsets: Number, num_stored: tf.Tensor, spec: VideoSpec) -> tf.Tensor:
    """Stored frames [T], one of each of T equal segments, `offsets` in [0, 1) into them."""
    segments = tf.range(spec.num_frames, dtype=tf.float32) + offsets
    place = segments / spec.num_frames * tf.cast(num_stored, tf.float32)
    return tf.minimum(tf.cast(place, tf.int32), num_stored - 1)


def crop_window(
    size: tf.Tensor, spec: VideoSpec, corner: Pair, scale: Pair = (1.0, 1.0)
) -> tf.Tensor:
    """What to cut out of frames of `size` [H, W]: int32 [top, left, height, width].

    The view is a square of `size_px` in a frame whose shorter side is scaled to `resize_px`, and
    whose height and width are then scaled by `scale`; here it is measured in stored pixels, and
    no larger than the stored shorter side. `corner` in [0, 1]^2 places it along the shorter and
    the longer side; (0.5, 0.5) is the centre.
    """
    shorter = tf.reduce_min(size)
    unit = tf.cast(shorter, tf.float32) / spec.resize_px if spec.resize_px else 1.0
    extent = tf.cast(tf.round(spec.size_px * unit / tf.convert_to_tensor(scale)), tf.int32)
    extent = tf.clip_by_value(extent, 1, shorter)
    corner = tf.convert_to_tensor(corner)
    corner = tf.where(size[0] > size[1], corner[::-1], corner)
    offset = tf.cast(tf.round(corner * tf.cast(size - extent, tf.float32)), tf.int32)
    return tf.concat([offset, extent], axis=0)


def decode_frames(
    jpegs: tf.Tensor, spec: VideoSpec, corner: Pair, scale: Pair = (1.0, 1.0)
) -> tf.Tensor:
    """JPEGs [T] to uint8 [T, size_px, size_px, 3], resized only where `crop_window` asks for it.

    They may be of several sizes; where they are much larger than the view they are reduced without
    aliasing.
    """
    jpegs = tf.ensure_shape(jpegs, [spec.num_frames])
    window = crop_window(tf.io.extract_jpeg_shape(jpegs[0])[:2], spec, corner, scale)
    small = tf.reduce_max(window[2:]) <= round(MAX_STEP * spec.size_px)

    @rare
    def reduced():
        return tf.map_fn(
            lambda jpeg: _decode_reduced(jpeg, spec, corner, scale),
            jpegs,
            fn_output_signature=tf.uint8,
        )

    usual = are_alike(jpegs) & small
    frames = tf.cond(usual, lambda: _decode_alike(jpegs, spec, window), reduced)
    return tf.ensure_shape(frames, spec.input_shape)


def are_alike(jpegs: tf.Tensor) -> tf.Tensor:
    """Whether JPEGs [T] are of one size."""
    # Asking the decoder for each size costs as much as decoding a frame, so the usual ones are told
    # by their first bytes.
    markers = b''.join(_LAYOUT.values())
    places = [at + i for at, marker in _LAYOUT.items() for i in range(len(marker))]
    heads = tf.io.decode_raw(jpegs, tf.uint8, fixed_length=max(_SIZE_AT) + 1)
    heads = tf.gather(heads, [*places, *_SIZE_AT], axis=1)
    usual = tf.reduce_all(heads[0, : len(markers)] == tf.constant(list(markers), tf.uint8))

    @rare
    def by_decoder():
        sizes = [tf.io.extract_jpeg_shape(x)[:2] for x in tf.unstack(jpegs)]
        return tf.reduce_all(tf.stack(sizes) == sizes[0])

    return tf.cond(usual & tf.reduce_all(heads == heads[0]), lambda: True, by_decoder)


def _decode_alike(jpegs: tf.Tensor, spec: VideoSpec, window: tf.Tensor) -> tf.Tensor:
    """The same window of JPEGs [T] of one size."""
    # Decoded from the start of a block and cut afterwards: the decoder, told to cut within one,
    # copies row by row what it has just written, a fifth of its time.
    inside = window[1] % JPEG_BLOCK_PX
    blocks = window + inside * tf.constant([0, -1, 0, 1])

    def decode(jpeg):
        # `fancy_upscaling=False` would cost more: that path copies every second row.
        return tf.io.decode_and_crop_jpeg(jpeg, blocks, channels=3, dct_method='INTEGER_FAST')

    @rare
    def resized():
        return tf.cast(tf.image.resize(frames, wanted) + 0.5, tf.uint8)

    # Unrolled: a loop costs a tenth of the decoding.
    frames = tf.stack([decode(jpeg) for jpeg in tf.unstack(jpegs)])
    frames = frames[:, :, inside:]
    wanted = [spec.size_px, spec.size_px]
    return tf.cond(tf.reduce_all(window[2:] == spec.size_px), lambda: frames, resized)


def _decode_reduced(jpeg: tf.Tensor, spec: VideoSpec, corner: Pair, scale: Pair) -> tf.Tensor:
    """The view of one JPEG, uint8 [size_px, size_px, 3].

    The decoder divides by a power of two, which spares it time and memory, down to twice the view;
    the rest is left to a filter that keeps more of what the view can show.
    """
    size = tf.io.extract_jpeg_shape(jpeg)[:2]
    steps = tf.reduce_min(crop_window(size, spec, corner, scale)[2:]) // (2 * spec.size_px)

    def decode(ratio):
        window = crop_window(-(-size // ratio), spec, corner, scale)
        return tf.io.decode_and_crop_jpeg(jpeg, window, channels=3, ratio=ratio)

    branches = [functools.partial(decode, ratio) for ratio in DECODER_RATIOS]
    chosen = tf.reduce_sum(tf.cast(steps >= DECODER_RATIOS, tf.int32)) - 1
    frame = tf.switch_case(tf.maximum(chosen, 0), branches)
    frame = tf.image.resize(frame, [spec.size_px] * 2, 'lanczos3', antialias=True)
    return tf.cast(tf.clip_by_value(frame, 0.0, 255.0) + 0.5, tf.uint8)


def blank_frames(spec: VideoSpec) -> tf.Tensor:
    """What a clip without video shows: mid-grey."""
    return tf.fill(spec.input_shape, tf.constant(128, tf.uint8))
