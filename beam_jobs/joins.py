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
class Piece:
    """Packets of one stream whose times go on from each other."""

    stream: int
    first: int  # number of its first packet in the stream
    at: int  # number of that packet in the file
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
        """Whether a packet of that time may follow."""
        if -BACK_US <= time_us - self.last_us <= JUMP_US:
            return True
        # The packets just before may have had times that were too late.
        return any(0 < time_us - recent_us < AHEAD_US for recent_us in self.recent_us)

    def add(self, at: int, time_us: int, duration_us: int) -> None:
        """Adds the packet at a place of the file."""
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
    pieces = _pieces(packets)
    offsets: Offsets = {}
    newest = 0
    ahead: dict[int, Piece] = {}  # by stream: its last piece so far
    for piece in sorted(pieces, key=lambda piece: piece.at):
        before = ahead.get(piece.stream)
        reached_us = max((other.reached_us(piece.at) for other in ahead.values()), default=0)
        ahead[piece.stream] = piece
        piece.offset_us = newest
        if before is not None:
            start_us = piece.start_us + newest
            gap_us = start_us - before.end_us
            others = [other for other in pieces if other.stream != piece.stream]
            went_through = (  # a join after another stream
                newest != before.offset_us
                and abs(gap_us) <= SKEW_US
                and reached_us - start_us <= LAG_US
            )
            is_hole = gap_us > 0 and any(
                other.is_near(piece.at, piece.start_us) for other in others
            )
            if not (went_through or is_hole):
                # A recording may lack this stream, or go on without it.
                missing_us = reached_us - before.end_us
                end_us = reached_us if missing_us > LAG_US else before.end_us
                newest = piece.offset_us = newest - start_us + end_us
        if piece.offset_us or piece.stream in offsets:
            offsets.setdefault(piece.stream, []).append((piece.first, piece.offset_us))
    return offsets, max((piece.end_us for piece in pieces), default=None)


def _pieces(packets: Iterable[tuple[int, int | None, int]]) -> list[Piece]:
    """Pieces of every stream that hold together, wrong times left out."""
    done: dict[int, list[Piece]] = {}
    counts: dict[int, int] = {}
    for at, (stream, time_us, duration_us) in enumerate(packets):
        first = counts[stream] = counts.get(stream, -1) + 1
        if time_us is None:
            continue
        pieces = done.setdefault(stream, [])
        if len(pieces) > 1 and pieces[-1].count < MIN_PACKETS and pieces[-2].continues(time_us):
            pieces.pop()  # its times were wrong
        if pieces and pieces[-1].continues(time_us):
            pieces[-1].add(at, time_us, duration_us)
            continue
        if pieces and pieces[-1].count < MIN_PACKETS:
            pieces.pop()
        pieces.append(Piece(stream, first, at, time_us, time_us, duration_us))
    return [
        piece
        for pieces in done.values()
        for number, piece in enumerate(pieces)
        if piece.count >= MIN_PACKETS or number == 0
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
