"""The sound of a clip: what its audio stream has between two times."""

import dataclasses
import itertools
from collections.abc import Iterator

import av
import numpy as np

from avmae_tf.config import AUDIO, SAMPLE_RATE_HZ, MediaSpec
from beam_jobs.audio_pieces import MAX_FRAMES_OFF, Pieces, TimeLine, num_samples
from beam_jobs.container import Media, open_media, seeks
from beam_jobs.reasons import SECOND_US

# Decoders and the resampler need to hear what came before (overlapping windows, Opus: 80 ms).
PREROLL_US = SECOND_US // 2


@dataclasses.dataclass
class Sound:
    """What the audio stream has for one segment."""

    samples: np.ndarray  # int16, from the segment's start to the last sample there is, gaps 0
    valid: np.ndarray  # bool, one for each of `samples`: it came from the file
    last_us: int | None = None  # end of the last packet read, even one before the segment
    wild: bool = False  # some samples were beyond WILD or not finite
    errors: int = 0
    declared_us: int | None = None  # duration of the file by its header

    @property
    def reach_us(self) -> int:
        """How far into the segment there is sound; 0 where there is none."""
        return round(len(self.samples) * SECOND_US / SAMPLE_RATE_HZ)

    def fit(self, duration_us: int) -> tuple[np.ndarray, int]:
        """(waveform of that duration, how many of its samples are from the file)."""
        length = num_samples(duration_us)
        heard = self.samples[:length]
        waveform = np.pad(heard, (0, length - len(heard)))
        return waveform, int(self.valid[:length].sum())


def read_sound(path: str, start_us: int, end_us: int, spec: MediaSpec) -> Sound | None:
    """Sound from `start_us` on, up to `end_us` or to where the stream ends; None: no stream.

    Raises:
        UnusableClip: by `spec`, the streams alone rule the file out.
    """
    from_us = start_us - PREROLL_US
    for seek_us in seeks(from_us):
        with open_media(path, end_us) as media:
            media.check(spec)
            stream = media.stream(AUDIO)
            if not isinstance(stream, av.AudioStream):
                return None
            packets = media.packets(stream, seek_us)
            first = next(packets, None)
            on_time = first and first.pts is not None and media.clock(stream)(first.pts) <= from_us
            if seek_us is None or on_time:
                packets = itertools.chain([first] if first else [], packets)
                return _read(media, stream, packets, TimeLine(start_us, end_us))
    raise AssertionError('the last attempt reads from the start of the file')


def _frames(
    media: Media, stream: av.AudioStream, packets: Iterator[av.Packet], time_line: TimeLine
) -> Iterator[tuple[int | None, av.AudioFrame]]:
    """(time or None, frame) from a little before the segment on."""
    clock = media.clock(stream)
    for packet in packets:
        errors, outside = media.errors, False
        if packet.pts is not None:
            packet_us = clock(packet.pts)
            time_line.last_us = clock(packet.pts + (packet.duration or 0))
            if packet_us < time_line.start_us - PREROLL_US:
                continue
            outside = not time_line.start_us <= packet_us <= time_line.end_us
        frames = media.decode(stream, packet)
        if outside:
            media.errors = errors  # a decoder that starts in the middle may stumble
        for frame in frames:
            yield None if frame.pts is None else clock(frame.pts), frame


def _read(
    media: Media, stream: av.AudioStream, packets: Iterator[av.Packet], time_line: TimeLine
) -> Sound:
    pieces, num_beyond = Pieces(time_line), 0
    for time_us, frame in _frames(media, stream, packets, time_line):
        time_us = pieces.end_us if time_us is None else time_us
        # One frame may be beyond the end by error.
        num_beyond = num_beyond + 1 if time_us > time_line.end_us + PREROLL_US else 0
        if num_beyond > MAX_FRAMES_OFF:
            break
        pieces.add(time_us, frame)
    pieces.close()
    samples, valid = time_line.lay_out()
    return Sound(
        samples=samples,
        valid=valid,
        last_us=time_line.last_us,
        wild=time_line.wild,
        errors=media.errors + time_line.errors,
        declared_us=media.declared_us,
    )
