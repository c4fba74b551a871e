"""The pictures of clips: frames chosen by time, upright, at one size, as JPEGs.

Output frame k belongs to the time T = start + k / frames_per_second and is the last source frame
whose timestamp is <= T plus a tolerance of half the time since the frame before it, at most
20 ms: the nearest frame of an ordinary video, and the one on the screen where frames stand longer.
Before the first frame of the file its first one is used, after the last its last one.
"""

import dataclasses
import itertools
import math
import struct
from collections.abc import Iterator, Sequence

import av
import cv2
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.frame import PictureType
from av.video.reformatter import Interpolation, VideoReformatter

from avmae_tf.config import VIDEO, MediaSpec
from beam_jobs.container import Media, open_media, seeks
from beam_jobs.reasons import SECOND_US

MAX_TOLERANCE_US = 20_000
MAX_STANDING_US = 60 * SECOND_US  # a gap beyond it is rather a corrupt timestamp
UNKNOWN_FRAME_US = 40_000  # how long a lone frame without a duration stands
MAX_ASPECT = 8  # longer shapes (corrupt headers, ticker strips) are squeezed to this one
ROTATIONS = {  # frame.rotation: degrees counterclockwise
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}


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

    def known(self, first_us: int | None, last_us: int | None, errors: int):
        self.first_us, self.last_us, self.errors = first_us, last_us, errors

    def covers(self, time_us: int) -> bool:
        return self.last_us is not None and self.last_us >= time_us

    @property
    def reach_us(self) -> int:
        """How far into the segment there are pictures, or further; 0 where there are none."""
        return self.last_us - self.start_us if self.jpegs else 0

    def fit(self, duration_us: int, spec: MediaSpec) -> tuple[tuple[bytes, ...], float]:
        """(frames of that duration, share of it that the video covers)."""
        num_frames = max(1, round(duration_us * spec.frames_per_second / SECOND_US))
        standing = [self.jpegs[-1]] * (num_frames - len(self.jpegs))
        shown_us = min(self.reach_us, duration_us) - max(0, self.first_us - self.start_us)
        return (*self.jpegs[:num_frames], *standing), shown_us / duration_us


def _even(pixels: float) -> int:
    return max(2, 2 * round(pixels / 2))


def _quarter_turn(frame: av.VideoFrame) -> int:
    """Degrees counterclockwise that put the picture upright: 0, 90, 180 or 270."""
    return round(frame.rotation / 90) * 90 % 360


def _is_mirrored(frame: av.VideoFrame) -> bool:
    """Whether the picture is to be flipped upside down before it is turned."""
    matrix = SideDataContainer(frame).get(Type.DISPLAYMATRIX)  # frame.side_data would hold frames
    a, b, _, c, d = struct.unpack_from('5i', matrix) if matrix else (1, 0, 0, 0, 1)
    return a * d < b * c


def stored_size(frame: av.VideoFrame, sample_aspect, shorter_side_px: int) -> tuple[int, int]:
    """(height, width) of the upright picture with square pixels, shorter side as asked, both even.

    Smaller pictures are enlarged, so that all records are alike.
    """
    aspect = frame.width / frame.height * float(sample_aspect or 1)  # width per height
    if _quarter_turn(frame) in (90, 270):
        aspect = 1 / aspect
    aspect = min(max(aspect, 1 / MAX_ASPECT), MAX_ASPECT)
    shorter, longer = _even(shorter_side_px), _even(shorter_side_px * max(aspect, 1 / aspect))
    return (shorter, longer) if aspect >= 1 else (longer, shorter)


class _Encoder:
    """JPEGs of one source frame at a time, each made once however many clips want it."""

    def __init__(self, spec: MediaSpec):
        self._reformatter = VideoReformatter()
        self._options = [cv2.IMWRITE_JPEG_QUALITY, spec.jpeg_quality]
        self._frame, self._jpegs = None, {}

    def jpeg(self, frame: av.VideoFrame, size: tuple[int, int]) -> bytes:
        if frame is not self._frame:
            self._frame, self._jpegs = frame, {}
        if size not in self._jpegs:
            self._jpegs[size] = self._encode(frame, size)
        return self._jpegs[size]

    def _encode(self, frame, size):
        turn = _quarter_turn(frame)
        height, width = size[::-1] if turn in (90, 270) else size
        picture = self._reformatter.reformat(
            frame, width, height, 'bgr24', interpolation=Interpolation.BILINEAR, threads=1
        ).to_ndarray()
        if _is_mirrored(frame):
            picture = cv2.flip(picture, 0)
        if turn:
            picture = cv2.rotate(picture, ROTATIONS[turn])
        encoded, jpeg = cv2.imencode('.jpg', picture, self._options)
        if not encoded:
            raise ValueError(f'no JPEG of a {width} x {height} picture')
        return jpeg.tobytes()


def _decoded(media: Media, stream, seek_us: int | None) -> Iterator[tuple[int, av.VideoFrame]]:
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


def _frames(media: Media, stream, seek_us: int | None) -> Iterator[tuple[int, av.VideoFrame]]:
    """(time, frame) by rising time; after a seek, from the first key frame on.

    Of frames with the same time the first counts; a time before the last one, or long after it, is
    damage. Where time goes back, but not to before the last frame but one, it was the last frame
    that was ahead of its time: that one is left out, for all up to its time would be late.
    """
    before_us, held_us, held = -math.inf, None, None
    for time_us, frame in _decoded(media, stream, seek_us):
        if held is not None:
            if not 0 <= time_us - held_us <= MAX_STANDING_US:
                media.errors += 1
            if time_us > held_us:
                yield held_us, held
                before_us = held_us
            elif time_us == held_us or time_us <= before_us:
                continue
        held_us, held = time_us, frame
    if held is not None:
        yield held_us, held


def _is_entry(time_us: int, frame: av.VideoFrame, target_us: int) -> bool:
    """Whether decoding from here is exact from `target_us` on.

    Streams that refresh a part of the picture at a time have entry points without a whole one.
    """
    return time_us <= target_us and frame.pict_type == PictureType.I


def _nominal_us(stream) -> int:
    rate = stream.average_rate
    return round(SECOND_US / rate) if rate else UNKNOWN_FRAME_US


def _shown(stream, frames: Iterator) -> Iterator[tuple[int, int, av.VideoFrame]]:
    """(time, until when to use it, frame), the last one until its end."""
    time_us, frame = 0, None
    gap_us = _nominal_us(stream)
    for next_us, next_frame in frames:
        if frame is not None:
            gap_us = next_us - time_us
            yield time_us, next_us - min(gap_us // 2, MAX_TOLERANCE_US), frame
        time_us, frame = next_us, next_frame
    if frame is not None:
        duration_us = round(frame.duration * stream.time_base * SECOND_US)
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
            if stream is None:
                return
            frames = _frames(media, stream, seek_us)
            first = next(frames, None)
            if seek_us is None or (first is not None and _is_entry(*first, segments[0][0])):
                frames = itertools.chain([first] if first else [], frames)
                yield from _sample(media, stream, frames, segments, spec)
                return


def _sample(media, stream, frames, segments, spec) -> Iterator[Pictures]:
    encoder = _Encoder(spec)
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
