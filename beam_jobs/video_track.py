"""The pictures of clips: frames chosen by time, upright, at one size, as JPEGs.

Output frame k belongs to the time T = start + k / frames_per_second and is the last source frame
whose timestamp is <= T plus a tolerance of half the time since the frame before it, at most
20 ms: the nearest frame of an ordinary video, and the one on the screen where frames stand longer.
Before the first frame of the file its first one is used, after the last its last one.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence

import av
from av.video.frame import PictureType

from avmae_tf.config import VIDEO, MediaSpec
from beam_jobs.container import Media, open_media, seeks, time_base
from beam_jobs.jpegs import JpegEncoder, stored_size
from beam_jobs.reasons import SECOND_US

TimedFrame = tuple[int, av.VideoFrame]  # its time in microseconds first

MAX_TOLERANCE_US = 20_000
MAX_STANDING_US = 60 * SECOND_US  # a gap beyond it is rather a corrupt timestamp
UNKNOWN_FRAME_US = 40_000  # how long a lone frame without a duration stands


@dataclasses.dataclass
class Pictures:
    """What the video stream has for one segment."""

    start_us: int
    jpegs: list[bytes] = dataclasses.field(default_factory=list)
    size: tuple[int, int] | None = None  # height, width
    first_us: int | None = None  # the earliest frame read; None where nothing decodes
    last_us: int | None = None  # the video is known to go on until here, or to end here
    errors: int = 0
    declared_us: int | None = None  # duration of the file by its header

    def known(self, first_us: int | None, last_us: int | None, errors: int) -> None:
        """Notes what has been read so far: first frame, reach, errors."""
        self.first_us, self.last_us, self.errors = first_us, last_us, errors

    def covers(self, time_us: int) -> bool:
        """Whether the video is known up to a time."""
        return self.last_us is not None and self.last_us >= time_us

    @property
    def reach_us(self) -> int:
        """How far into the segment there are pictures, or further; 0 where there are none."""
        return self.last_us - self.start_us if self.jpegs and self.last_us is not None else 0

    def fit(self, duration_us: int, spec: MediaSpec) -> tuple[tuple[bytes, ...], float]:
        """(frames of that duration, share of it that the video covers)."""
        num_frames = max(1, round(duration_us * spec.frames_per_second / SECOND_US))
        standing = [self.jpegs[-1]] * (num_frames - len(self.jpegs))
        late_us = max(0, (self.first_us or 0) - self.start_us)
        shown_us = min(self.reach_us, duration_us) - late_us
        return (*self.jpegs[:num_frames], *standing), shown_us / duration_us


def _decoded(media: Media, stream: av.VideoStream, seek_us: int | None) -> Iterator[TimedFrame]:
    """(time, frame) as they come; after a seek, from the first key frame on."""
    at_key, key_us, previous_us = seek_us is None, -math.inf, None
    clock = media.clock(stream)
    for packet in media.packets(stream, seek_us):
        if not at_key and packet.size:
            if not packet.is_keyframe or packet.pts is None:
                continue
            at_key, key_us = True, clock(packet.pts)
        for frame in media.decode(stream, packet):
            timestamp = frame.dts if frame.pts is None else frame.pts
            if timestamp is not None:
                time_us = clock(timestamp)
            else:
                time_us = 0 if previous_us is None else previous_us + _nominal_us(stream)
            if time_us >= key_us:
                previous_us = time_us
                yield time_us, frame


def _frames(media: Media, stream: av.VideoStream, seek_us: int | None) -> Iterator[TimedFrame]:
    """(time, frame) by rising time; after a seek, from the first key frame on.

    Of frames with the same time the first counts; a time before the last one, or long after it, is
    damage. Where time goes back, but not to before the last frame but one, it was the last frame
    that was ahead of its time: that one is left out, for all up to its time would be late.
    """
    before_us = -math.inf
    held: TimedFrame | None = None
    for time_us, frame in _decoded(media, stream, seek_us):
        if held is not None:
            held_us = held[0]
            if not 0 <= time_us - held_us <= MAX_STANDING_US:
                media.errors += 1
            if time_us > held_us:
                yield held
                before_us = held_us
            elif time_us == held_us or time_us <= before_us:
                continue
        held = time_us, frame
    if held is not None:
        yield held


def _is_entry(time_us: int, frame: av.VideoFrame, target_us: int) -> bool:
    """Whether decoding from here is exact from `target_us` on.

    Streams that refresh a part of the picture at a time have entry points without a whole one.
    """
    return time_us <= target_us and frame.pict_type == PictureType.I


def _nominal_us(stream: av.VideoStream) -> int:
    rate = stream.average_rate
    return round(SECOND_US / rate) if rate else UNKNOWN_FRAME_US


def _shown(
    stream: av.VideoStream, frames: Iterator[TimedFrame]
) -> Iterator[tuple[int, int, av.VideoFrame]]:
    """(time, until when to use it, frame), the last one until its end."""
    time_us, frame = 0, None
    gap_us = _nominal_us(stream)
    for next_us, next_frame in frames:
        if frame is not None:
            gap_us = next_us - time_us
            yield time_us, next_us - min(gap_us // 2, MAX_TOLERANCE_US), frame
        time_us, frame = next_us, next_frame
    if frame is not None:
        duration_us = round(frame.duration * time_base(stream) * SECOND_US)
        yield time_us, time_us + (duration_us or gap_us), frame


def read_pictures(
    path: str, segments: Sequence[tuple[int, int]], spec: MediaSpec
) -> Iterator[Pictures]:
    """Pictures of each (start, end) of `segments`, sorted by start, in one pass over the file.

    Yielded in the order of `segments`, each as soon as it and those before it are complete. `end`
    only limits: where the video ends earlier there are no more pictures. Nothing is yielded where
    the file has no video.

    Raises:
        UnusableClip: by `spec`, the streams alone rule the file out.
    """
    for seek_us in seeks(segments[0][0]):
        with open_media(path, max(end for _, end in segments)) as media:
            media.check(spec)
            stream = media.stream(VIDEO)
            if not isinstance(stream, av.VideoStream):
                return
            frames = _frames(media, stream, seek_us)
            first = next(frames, None)
            if seek_us is None or (first is not None and _is_entry(*first, segments[0][0])):
                frames = itertools.chain([first] if first else [], frames)
                yield from _sample(media, stream, frames, segments, spec)
                return


def _sample(
    media: Media,
    stream: av.VideoStream,
    frames: Iterator[TimedFrame],
    segments: Sequence[tuple[int, int]],
    spec: MediaSpec,
) -> Iterator[Pictures]:
    encoder = JpegEncoder(spec)
    declared_us = media.declared_us
    waiting = [(*bounds, Pictures(bounds[0], declared_us=declared_us)) for bounds in segments]
    first_us = until_us = None
    for time_us, until_us, frame in _shown(stream, frames):
        first_us = time_us if first_us is None else first_us
        for start_us, end_us, pictures in waiting:
            if start_us >= until_us:
                break
            if not pictures.covers(end_us):
                size = stored_size(frame, stream.sample_aspect_ratio, spec.shorter_side_px)
                pictures.size = pictures.size or size
                num_frames = _num_frames(min(until_us, end_us) - start_us, spec)
                for _ in range(len(pictures.jpegs), num_frames):
                    pictures.jpegs.append(encoder.jpeg(frame, pictures.size))
                pictures.known(first_us, until_us, media.errors)
        while waiting and waiting[0][2].covers(waiting[0][1]):
            yield waiting.pop(0)[2]
        if not waiting:
            return
    for _, _, pictures in waiting:
        pictures.known(first_us, until_us, media.errors)
        yield pictures


def _num_frames(duration_us: int, spec: MediaSpec) -> int:
    """How many frames have their time T within a duration from the segment's start."""
    return math.ceil(duration_us * spec.frames_per_second / SECOND_US)
