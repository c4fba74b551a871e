"""Decode clips of a video file into JPEG frames and 16 kHz mono sound, or say why not.

Whatever the file holds, a clip comes back as a `Clip` or as an `UnusableClip` with one reason out
of a fixed list; nothing else is raised. Time 0 of a file is its container's start time, as in
players, and both modalities are cut at the same microsecond. Interlaced video stays interlaced and
HDR video is not tone-mapped.
"""

import math
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from avmae_tf.config import MediaSpec
from beam_jobs.audio_track import read_sound
from beam_jobs.clip import MAX_SECONDS, Clip, Status, assemble, check_length
from beam_jobs.container import joins, open_media
from beam_jobs.reasons import SECOND_US, Reason, UnusableClip, as_unusable
from beam_jobs.video_track import Pictures, read_pictures

__all__ = [
    'MAX_SECONDS',
    'Clip',
    'Reason',
    'Status',
    'UnusableClip',
    'Wanted',
    'decode_clip',
    'decode_clips',
    'decode_wanted',
]

MAX_START_US = 10**9 * SECOND_US  # what libav can seek to
END_SLACK_SECONDS = 0.5  # by which a whole video may end before a segment of it does
LENGTH_SLACK_SECONDS = 2.0  # by which a cut-out segment may be too long
MAX_SKIP_SECONDS = 10  # a gap between segments that is decoded; a longer one is sought over

Segment = tuple[float | None, float | None]
Bounds = tuple[int, float, int]  # of a segment in microseconds, then its place among all


class Wanted(NamedTuple):
    """A segment of a video, or the whole of a file that turns out to be that segment alone."""

    start_seconds: float | None = None
    end_seconds: float | None = None
    may_be_cut_out: bool = False


def decode_clip(
    path: str,
    spec: MediaSpec,
    *,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> Clip:
    """The clip of `path` between two times, or the whole file.

    Without an end it goes to the end of the longest required stream. A segment that reaches beyond
    the end of the file yields what there is.

    Raises:
        UnusableClip: and nothing else.
    """
    (outcome,) = decode_clips(path, [(start_seconds, end_seconds)], spec)
    if isinstance(outcome, UnusableClip):
        raise outcome
    return outcome


def decode_clips(
    path: str, segments: Sequence[Segment], spec: MediaSpec
) -> Iterator[Clip | UnusableClip]:
    """Several segments of one video, in the order given, each as `decode_clip` returns it.

    Segments that overlap or lie close together share one pass over the pictures; larger gaps are
    sought over. Give segments sorted by start where memory matters: results wait for their turn.
    """
    path = os.fspath(path)
    joins.cache_clear()  # the file may have changed since
    outcomes: dict[int, Clip | UnusableClip] = {}
    bounds: list[Bounds] = []
    for index, segment in enumerate(segments):
        try:
            bounds.append((*_bounds(path, *segment), index))
        except UnusableClip as error:
            outcomes[index] = error
    turn = 0
    for group in _passes(path, sorted(bounds)):
        for index, outcome in _decode_pass(path, group, spec):
            outcomes[index] = outcome
            while turn in outcomes:
                yield outcomes.pop(turn)
                turn += 1
    yield from (outcomes[index] for index in sorted(outcomes))


def decode_wanted(
    path: str, wanted: Sequence[Wanted], spec: MediaSpec
) -> Iterator[Clip | UnusableClip]:
    """As `decode_clips`."""
    segments: list[Segment] = []
    for start, end, may_be_cut_out in wanted:
        if may_be_cut_out and start is not None and end is not None:
            start, end = (None, None) if _is_cut_out(path, start, end) else (start, end)
        segments.append((start, end))
    yield from decode_clips(path, segments, spec)


def _is_cut_out(path: str, start_seconds: float, end_seconds: float) -> bool:
    """Whether the file is that segment of a video alone, not the video.

    True where the file ends before the segment does, and is about as long as it.
    """
    too_long = min(
        end_seconds - END_SLACK_SECONDS, end_seconds - start_seconds + LENGTH_SLACK_SECONDS
    )
    try:
        with as_unusable(path), open_media(path, too_long * SECOND_US) as media:
            return media.ends_before(too_long * SECOND_US)
    except UnusableClip:
        return False  # decoding it will say why


def _bounds(path: str, start_seconds: float | None, end_seconds: float | None) -> tuple[int, float]:
    """Start and end in microseconds; an end of None is infinity."""
    try:
        start_us = round((start_seconds or 0) * SECOND_US)
        if end_seconds is None or end_seconds == math.inf:
            end_us = math.inf
        else:
            end_us = round(end_seconds * SECOND_US)
        in_order = 0 <= start_us < end_us
    except (TypeError, ValueError, OverflowError):
        in_order = False
    if not in_order or start_us > MAX_START_US:
        what = f'needs 0 <= start < end, got start={start_seconds!r}, end={end_seconds!r}'
        raise UnusableClip(Reason.BAD_SEGMENT, f'{path}: {what}')
    return start_us, end_us


def _passes(path: str, bounds: list[Bounds]) -> Iterator[list[Bounds]]:
    """Sorted segments in groups that one pass over the pictures serves."""
    skip_us: float = MAX_SKIP_SECONDS * SECOND_US
    if len(bounds) > 1 and not _can_seek(path):
        skip_us = math.inf
    group: list[Bounds] = []
    end_of_pass_us = 0
    for segment in bounds:
        if group and segment[0] > end_of_pass_us + skip_us:
            yield group
            group = []
        group.append(segment)
        end_of_pass_us = max(end_of_pass_us, _limit_us(*segment[:2]))
    if group:
        yield group


def _can_seek(path: str) -> bool:
    try:
        with as_unusable(path), open_media(path) as media:
            return media.can_seek
    except UnusableClip:
        return False  # the segments will say why


def _decode_pass(
    path: str, group: list[Bounds], spec: MediaSpec
) -> Iterator[tuple[int, Clip | UnusableClip]]:
    """(index, outcome) of every segment of `group`, by start."""
    done = 0
    if len(group) > 1:
        limits = [(start_us, _limit_us(start_us, end_us)) for start_us, end_us, _ in group]
        try:
            for pictures in read_pictures(path, limits, spec):
                if pictures.errors or not pictures.covers(limits[done][1]):
                    break  # damage, or the end, may look different to one that starts elsewhere
                start_us, end_us, index = group[done]
                yield index, _outcome(path, start_us, end_us, spec, pictures)
                done += 1
        except Exception:
            pass  # taken one by one below, the segments say themselves what is wrong
    for start_us, end_us, index in group[done:]:
        yield index, _outcome(path, start_us, end_us, spec)


def _limit_us(start_us: int, end_us: float) -> int:
    """Where to stop reading: one second after a clip has become too long."""
    return int(min(end_us, start_us + (MAX_SECONDS + 1) * SECOND_US))


def _outcome(
    path: str, start_us: int, end_us: float, spec: MediaSpec, pictures: Pictures | None = None
) -> Clip | UnusableClip:
    """The clip, decoding its sound and, unless they are given, its pictures."""
    limit_us = _limit_us(start_us, end_us)
    try:
        with as_unusable(path):
            sound = read_sound(path, start_us, limit_us, spec)
            if sound is not None:
                check_length(path, sound.reach_us)
            if pictures is None:
                pictures = next(iter([*read_pictures(path, [(start_us, limit_us)], spec)]), None)
            return assemble(path, start_us, end_us, spec, pictures=pictures, sound=sound)
    except UnusableClip as error:
        return error
