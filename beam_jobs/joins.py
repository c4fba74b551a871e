"""Recordings joined end to end: where the clock of a file starts anew, and what to add from there.

Some formats (transport streams, DVD, Ogg) may be cut and joined as bytes, and their clock goes back
or jumps at each join. Whatever follows continues where the packets before it ended, all streams by
the same offset, so that sound and picture stay together.
"""

import dataclasses
from collections.abc import Iterable, Iterator

import av

from beam_jobs.reasons import SECOND_US

BACK_US = 100_000  # by which decoding times of one stream may go back without a join
JUMP_US = 10_000_000  # by which they may go on
AHEAD_US = 1_000_000  # after some that were ahead of their time
MIN_PACKETS = 9  # in a row; fewer are packets with wrong times
NEAR_PACKETS = 1000
SKEW_US = 5_000_000  # between the streams of one recording
LAG_US = 2_000_000  # by which a stream may come later in the file than another

Offsets = dict[int, list[tuple[int, int]]]  # by stream: from which of its packets on, microseconds


@dataclasses.dataclass
class Run:
    """Packets of one stream whose times go on from each other."""

    stream: int
    first: int  # of its stream's packets
    at: int  # of the file's packets
    start_us: int
    last_us: int
    duration_us: int = 0
    count: int = 1
    offset_us: int = 0
    last_at: int = -1
    marks: list[tuple[int, int]] = dataclasses.field(default_factory=list)  # at, time; each second
    recent_us: list[int] = dataclasses.field(default_factory=list)

    @property
    def end_us(self) -> int:
        """When it ends on the clock of the whole file."""
        return self.last_us + self.duration_us + self.offset_us

    def continues(self, time_us: int) -> bool:
        if -BACK_US <= time_us - self.last_us <= JUMP_US:
            return True
        # Or those just before were ahead of their time.
        return any(0 < time_us - recent_us < AHEAD_US for recent_us in self.recent_us)

    def add(self, at: int, time_us: int, duration_us: int) -> None:
        self.duration_us = duration_us or max(0, time_us - self.last_us)
        self.last_us, self.last_at, self.count = time_us, at, self.count + 1
        self.recent_us = [*self.recent_us[1 - MIN_PACKETS :], time_us]
        if not self.marks or time_us > self.marks[-1][1] + 1_000_000:
            self.marks.append((at, time_us))

    def reached_us(self, at: int) -> int:
        """How far it is at a place of the file, on the clock of the whole file."""
        if self.last_at < at:
            return self.end_us
        return self.offset_us + max((us for mark, us in self.marks if mark < at), default=0)

    def is_near(self, at: int, time_us: int) -> bool:
        """Whether it has packets of about that time a little before that place of the file."""
        return any(
            abs(mark_us - time_us) <= JUMP_US and 0 <= at - mark <= NEAR_PACKETS
            for mark, mark_us in self.marks
        )


def find_offsets(packets: Iterable[tuple[int, int | None, int]]) -> tuple[Offsets, int | None]:
    """(offsets, where the clock of the whole file ends) from the packets in the file's order.

    A packet is (stream, decoding time, duration). Streams without a join have no offsets.
    """
    runs = _runs(packets)
    offsets: Offsets = {}
    newest = 0
    ahead: dict[int, Run] = {}  # by stream: its last run so far
    for run in sorted(runs, key=lambda run: run.at):
        before = ahead.get(run.stream)
        reached_us = max((other.reached_us(run.at) for other in ahead.values()), default=0)
        ahead[run.stream] = run
        run.offset_us = newest
        if before is not None:
            start_us = run.start_us + newest
            gap_us = start_us - before.end_us
            others = [other for other in runs if other.stream != run.stream]
            went_through = (  # a join after another stream
                newest != before.offset_us
                and abs(gap_us) <= SKEW_US
                and reached_us - start_us <= LAG_US
            )
            is_hole = gap_us > 0 and any(other.is_near(run.at, run.start_us) for other in others)
            if not (went_through or is_hole):
                # A recording may lack this stream, or go on without it.
                missing_us = reached_us - before.end_us
                end_us = reached_us if missing_us > LAG_US else before.end_us
                newest = run.offset_us = newest - start_us + end_us
        if run.offset_us or run.stream in offsets:
            offsets.setdefault(run.stream, []).append((run.first, run.offset_us))
    return offsets, max((run.end_us for run in runs), default=None)


def _runs(packets: Iterable[tuple[int, int | None, int]]) -> list[Run]:
    """Runs of every stream that hold together, wrong times left out."""
    done: dict[int, list[Run]] = {}
    counts: dict[int, int] = {}
    for at, (stream, time_us, duration_us) in enumerate(packets):
        first = counts[stream] = counts.get(stream, -1) + 1
        if time_us is None:
            continue
        runs = done.setdefault(stream, [])
        if len(runs) > 1 and runs[-1].count < MIN_PACKETS and runs[-2].continues(time_us):
            runs.pop()  # its times were wrong
        if runs and runs[-1].continues(time_us):
            runs[-1].add(at, time_us, duration_us)
            continue
        if runs and runs[-1].count < MIN_PACKETS:
            runs.pop()
        runs.append(Run(stream, first, at, time_us, time_us, duration_us))
    return [
        run
        for runs in done.values()
        for number, run in enumerate(runs)
        if run.count >= MIN_PACKETS or number == 0
    ]


def shifted(packets: Iterable[av.Packet], offsets: list[tuple[int, int]]) -> Iterator[av.Packet]:
    """Packets of a stream from the start of its file, with times that do not start anew."""
    firsts, offset_us = dict(offsets), 0
    for number, packet in enumerate(packets):
        offset_us = firsts.get(number, offset_us)
        if offset_us and packet.size:
            ticks = round(offset_us / SECOND_US / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        yield packet
