"""The channels of sound in libav's own order, whatever order a file has them in.

QuickTime and others store channels in orders of their own, such as film's L C R Ls Rs LFE. PyAV
17.1 frees such an order twice and the process dies, so a decoder is told before it starts that its
channels are in libav's order, and they are put into it afterwards.
"""

import av
import numpy as np

# libav's order; the same channels in another one are a layout that PyAV cannot hold.
NATIVE = (
    'FL FR FC LFE BL BR FLC FRC BC SL SR TC TFL TFC TFR TBL TBC TBR DL DR WL WR SDL SDR LFE2 '
    'TSL TSR BFC BFL BFR SSL SSR TTL TTR'
).split()


def settle(codec_context: av.AudioCodecContext) -> list[int] | None:
    """Gives a decoder, before it starts, a layout that PyAV can hold.

    Returns where in the file each channel of that layout is; None where they are in place.
    """
    layout = codec_context.layout  # owns the memory of an order from here on
    names = [channel.name for channel in layout.channels]
    if not names:
        return None
    if len(set(names)) < len(names) or not set(names) <= set(NATIVE):
        codec_context.layout = f'{len(names)} channels'  # libav takes the usual ones
        return None
    ordered = sorted(names, key=NATIVE.index)
    codec_context.layout = '+'.join(ordered)
    return None if ordered == names else [names.index(name) for name in ordered]


def packed(frame: av.AudioFrame) -> av.AudioFrame:
    """The frame, with samples that numpy can read."""
    if frame.format.is_planar and frame.layout.nb_channels >= 8:
        # Of eight and more planes PyAV 17.1 reads past the last: all samples go into one.
        (frame,) = av.AudioResampler(format=frame.format.packed).resample(frame)
    return frame


def with_samples(frame: av.AudioFrame, samples: np.ndarray) -> av.AudioFrame:
    """A frame like this one that holds other samples."""
    made = av.AudioFrame.from_ndarray(samples, frame.format.name, frame.layout.name)
    made.sample_rate, made.pts, made.time_base = frame.sample_rate, frame.pts, frame.time_base
    return made


def in_order(frame: av.AudioFrame, order: list[int]) -> av.AudioFrame:
    """The frame with its channels where its layout says they are."""
    if frame.layout.nb_channels != len(order):
        return frame  # the decoder found other channels than the header names
    frame = packed(frame)
    samples = frame.to_ndarray()
    if frame.format.is_planar:
        samples = samples[order]
    else:
        samples = samples.reshape(-1, len(order))[:, order].reshape(1, -1)
    return with_samples(frame, np.ascontiguousarray(samples))
