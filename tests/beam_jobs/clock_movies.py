"""Movies whose picture is a clock and whose sound is a pattern of clicks, written with PyAV alone.

The picture is a grid of black and white blocks that spells the frame's time in milliseconds; the
clicks are at `click_times`. Both are read back from decoded clips, so that a shift of either shows.
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

GRID_ROWS, GRID_COLUMNS = 4, 6
TIME_BITS = 20  # milliseconds; the other four blocks are a check sum
MS = Fraction(1, 1000)
FPS = 8  # of decoded clips
SYNC_SECONDS = 0.005  # of the sound


def clock_face(seconds: float, width: int, height: int) -> np.ndarray:
    """RGB picture that spells `seconds`."""
    ms = round(seconds * 1000)
    word = ms << 4 | bin(ms).count('1') % 16
    bits = [word >> i & 1 for i in range(GRID_ROWS * GRID_COLUMNS)]
    blocks = np.array(bits, np.uint8).reshape(GRID_ROWS, GRID_COLUMNS) * 200 + 28
    picture = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.repeat(picture[..., np.newaxis], 3, axis=2)


def read_clock(jpeg: bytes) -> float | None:
    """Seconds that a decoded frame spells; None if it is no clock."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    height, width = (
        n / cells for n, cells in zip(picture.shape, (GRID_ROWS, GRID_COLUMNS), strict=True)
    )
    word = 0
    for i in range(GRID_ROWS * GRID_COLUMNS):
        row, column = divmod(i, GRID_COLUMNS)
        middle = picture[
            round((row + 0.3) * height) : round((row + 0.7) * height),
            round((column + 0.3) * width) : round((column + 0.7) * width),
        ]
        word |= int(middle.mean() > 128) << i
    ms, check = word >> 4, word & 15
    return ms / 1000 if bin(ms).count('1') % 16 == check else None


def click_times(seconds: float) -> list[float]:
    """No two stretches of a minute have the same pattern."""
    times = [0.2 + 0.4 * k + 0.1 * (k * k % 17) / 17 for k in range(int(seconds / 0.4) + 1)]
    return [t for t in times if t < seconds - 0.01]


def clicks(seconds: float, rate: int) -> np.ndarray:
    """Mono waveform: 8 ms bursts of 2 kHz around `click_times`."""
    wave = np.zeros(round(seconds * rate))
    for time in click_times(seconds):
        first = max(0, round((time - 0.004) * rate))
        t = np.arange(first, min(len(wave), round((time + 0.004) * rate))) / rate - time
        wave[first : first + len(t)] = (
            0.8 * np.cos(250 * np.pi * t / 2) ** 2 * np.cos(4000 * np.pi * t)
        )
    return wave


def find_clicks(waveform: np.ndarray, rate: int = 16_000) -> list[float]:
    energy = np.square(waveform / 32768)
    loud = np.flatnonzero(energy > 0.02)
    groups = np.split(loud, np.flatnonzero(np.diff(loud) > rate // 20) + 1) if len(loud) else []
    return [float(np.average(g, weights=energy[g]) / rate) for g in groups]


def write_movie(
    path: Path,
    *,
    seconds: float = 2.0,
    fps: int = 25,
    size: tuple[int, int] = (96, 64),
    video: str | None = 'mpeg4',
    pix_fmt: str = 'yuv420p',
    frame_times: list[float] | None = None,
    draw: Callable = clock_face,
    video_options: dict | None = None,
    time_base: Fraction = MS,
    audio: str | None = 'aac',
    rate: int = 44_100,
    layout: str = 'mono',
    sample_format: str = 'flt',
    sound: Callable = clicks,
    spans: list[tuple[float, float]] | None = None,
    container: str | None = None,
    options: dict | None = None,
    set_up: Callable | None = None,
):
    """A movie whose picture at t is `draw(t, *size)` and whose sound is `sound(seconds, rate)`.

    Args:
        frame_times: when there is a frame, by default `fps` times a second.
        sound: returns [samples] for every channel alike, or [channels, samples].
        spans: the stretches of the sound that are written, each at its own time.
        set_up: called with the video and the audio stream before anything is encoded.
    """
    with av.open(str(path), 'w', format=container, options=options or {}) as movie:
        pieces = []
        video_stream = audio_stream = None
        if video:
            video_stream = movie.add_stream(video, rate=fps, options=video_options or {})
            video_stream.width, video_stream.height = size
            video_stream.pix_fmt = pix_fmt
            video_stream.bit_rate = 2_000_000
            video_stream.codec_context.time_base = time_base
            times = frame_times or [i / fps for i in range(round(seconds * fps))]
            pieces += [(time, video_stream, None) for time in times]
        if audio:
            audio_stream = movie.add_stream(audio, rate=rate, layout=layout)
            wave = np.atleast_2d(sound(seconds, rate))
            channels = audio_stream.layout.nb_channels
            wave = np.broadcast_to(wave, (channels, wave.shape[1])) if len(wave) == 1 else wave
            for first, last in spans or [(0, seconds)]:
                pieces += [
                    (i / rate, audio_stream, wave[:, i : min(i + 1024, round(last * rate))])
                    for i in range(round(first * rate), round(last * rate), 1024)
                ]
        if set_up:
            set_up(video_stream, audio_stream)
        for time, stream, samples in sorted(pieces, key=lambda piece: piece[0]):
            if samples is None:
                frame = av.VideoFrame.from_ndarray(draw(time, *size), 'rgb24')
                frame.pts, frame.time_base = round(time / time_base), time_base
            else:
                frame = audio_frame(samples, sample_format, layout, rate)
                frame.pts, frame.time_base = round(time * rate), Fraction(1, rate)
            movie.mux(stream.encode(frame))
        for stream in filter(None, (video_stream, audio_stream)):
            movie.mux(stream.encode(None))


def audio_frame(samples: np.ndarray, sample_format: str, layout: str, rate: int) -> av.AudioFrame:
    packed = samples.T.reshape(1, -1)
    if sample_format == 'flt':
        packed = packed.astype(np.float32)
    elif sample_format == 'u8':
        packed = (packed * 127 + 128).astype(np.uint8)
    else:
        packed = (packed * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), sample_format, layout)
    frame.sample_rate = rate
    return frame


def check_clip(clip):
    """What holds for every clip, whatever its file."""
    duration_us = clip.end_us - clip.start_us
    assert len(clip.frames) in (0, max(1, round(duration_us * FPS / 1e6)))
    assert len(clip.waveform) in (0, round(duration_us * 0.016))
    assert clip.waveform.dtype == np.int16
    assert 0 <= clip.valid_samples <= len(clip.waveform)
    assert 0 <= clip.rms <= 1
    for jpeg in clip.frames:
        assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2] == clip.size


def check_sync(clip, *, tolerance=0.041, shift=0.0, num_clicks=None):
    """Frames and clicks are where the file has them."""
    start = clip.start_us / 1e6
    for k, jpeg in enumerate(clip.frames):
        assert read_clock(jpeg) == pytest.approx(start + k / FPS - shift, abs=tolerance)
    end = clip.end_us / 1e6
    every = np.array(click_times(100)) + shift
    inside = [time for time in every if start + 0.005 < time < end - 0.005]
    heard = [start + time for time in find_clicks(clip.waveform)]
    assert len(heard) == (len(inside) if num_clicks is None else num_clicks)
    for time in heard:
        assert np.abs(every - time).min() < SYNC_SECONDS


def same(one, other):
    return (
        one.frames == other.frames
        and np.array_equal(one.waveform, other.waveform)
        and (one.size, one.start_us, one.end_us, one.valid_samples, one.status, one.rms)
        == (other.size, other.start_us, other.end_us, other.valid_samples, other.status, other.rms)
    )
