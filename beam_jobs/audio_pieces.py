"""Decoded audio on a clip's time line: mono, 16 kHz, every sample at the time its timestamp says.

Frames are cut into pieces without a break in format or time; each piece is resampled by itself and
laid down where it starts, so that a late track stays late and a hole stays a hole. Where two pieces
overlap the earlier one in the file wins.

A timestamp that the next ones contradict counts as an error; its frame follows the one before it.
"""

import av
import numpy as np

from avmae_tf.config import SAMPLE_RATE_HZ
from beam_jobs.channels import packed, with_samples
from beam_jobs.reasons import SECOND_US

# Timestamps jitter around a steady clock (FLV and WebM round to 1 ms, recorders are worse), and to
# follow every one of them would put clicks into the sound: a new piece begins at the first of
# several frames in a row that are off by more than rounding explains.
JITTER_US = 20_000
ROUNDING_US = 3_000
MAX_FRAMES_OFF = 8
BLOCK_SAMPLES = 8192
JOIN_US = 100_000  # by which recordings that were joined may overlap
OVERLAP_SHARE = 0.01  # of a clip; drifting clocks make less, wrong timestamps more
WILD = 1.05  # a sample beyond it is not loud but damaged


class TimeLine:
    """Samples of one segment, laid down piece by piece."""

    def __init__(self, start_us: int, end_us: int) -> None:
        self.start_us, self.end_us = start_us, end_us
        self.last_us: int | None = None  # end of the last packet read
        self.wild, self.errors = False, 0
        self._placed: list[tuple[int, np.ndarray]] = []

    def place(self, time_us: int, samples: np.ndarray) -> None:
        """Puts samples at a time; what lies outside of the segment is cut."""
        position = num_samples(time_us - self.start_us)
        room = num_samples(self.end_us - self.start_us) - position
        inside = samples[max(0, -position) : max(0, room)]
        if len(inside):
            self._placed.append((max(0, position), inside))

    def lay_out(self) -> tuple[np.ndarray, np.ndarray]:
        """(samples, which of them are from the file), up to the last of those."""
        length = max((first + len(samples) for first, samples in self._placed), default=0)
        laid, valid, num_lost = np.zeros(length, np.int16), np.zeros(length, bool), 0
        for first, samples in self._placed:
            last = first + len(samples)
            num_lost += valid[first:last].sum()
            laid[first:last] = np.where(valid[first:last], laid[first:last], samples)
            valid[first:last] = True
        if num_lost > max(OVERLAP_SHARE * length, num_samples(JOIN_US)):
            self.errors += 1
        return laid, valid


class _Piece:
    """Frames that follow each other without a break, through one resampler."""

    def __init__(self, time_us: int, frame: av.AudioFrame) -> None:
        self.time_us = time_us
        self._format = _format(frame)
        self.num_frames = 0
        self._num_heard = 0  # at the rate of the source
        self._fifo = av.AudioFifo()  # frames are short; blocks cost less
        self._resampler = av.AudioResampler(format='s16', layout='mono', rate=SAMPLE_RATE_HZ)
        self._blocks: list[np.ndarray] = []

    @property
    def end_us(self) -> int:
        return self.time_us + round(self._num_heard * SECOND_US / self._format[-1])

    def has_format_of(self, frame: av.AudioFrame) -> bool:
        return self._format == _format(frame)

    def feed(self, frame: av.AudioFrame, time_line: TimeLine) -> None:
        """Adds a frame, which is resampled in blocks."""
        self.num_frames += 1
        self._num_heard += frame.samples
        frame.pts = None  # the piece counts samples
        self._fifo.write(frame)
        while (block := self._fifo.read(BLOCK_SAMPLES)) is not None:
            self._resample(block, time_line)

    def close(self, time_line: TimeLine) -> None:
        """Resamples the rest and puts all of it on the time line."""
        if (block := self._fifo.read()) is not None:
            self._resample(block, time_line)
        self._collect(None, time_line)
        if self._blocks:
            time_line.place(self.time_us, np.concatenate(self._blocks))

    def _resample(self, block: av.AudioFrame, time_line: TimeLine) -> None:
        left_us = round(self._fifo.samples * SECOND_US / self._format[-1])
        duration_us = round(block.samples * SECOND_US / self._format[-1])
        end_us = self.end_us - left_us
        block, wild = tame(block)
        heard = end_us > time_line.start_us and end_us - duration_us < time_line.end_us
        time_line.wild = time_line.wild or (wild and heard)
        self._collect(block, time_line)

    def _collect(self, block: av.AudioFrame | None, time_line: TimeLine) -> None:
        try:
            blocks = self._resampler.resample(block)
        except MemoryError:
            raise
        except av.FFmpegError:  # channels that libav cannot mix to mono
            time_line.errors += 1
            return
        self._blocks += [block.to_ndarray()[0] for block in blocks if block is not None]


class Pieces:
    """Frames in file order, divided into pieces."""

    def __init__(self, time_line: TimeLine) -> None:
        self._time_line = time_line
        self._piece: _Piece | None = None
        # (time, frame) of frames that may begin a piece or belong to the last
        self._held: list[tuple[int, av.AudioFrame]] = []

    @property
    def end_us(self) -> int:
        """When a frame without a timestamp starts."""
        if self._piece is None:
            return 0
        return (self._held[0][0] if self._holds_far else self._piece.end_us) + self._held_us

    @property
    def _last(self) -> _Piece:
        assert self._piece is not None, 'the first frame begins a piece'
        return self._piece

    @property
    def _held_us(self) -> int:
        return sum(round(frame.samples * SECOND_US / frame.rate) for _, frame in self._held)

    @property
    def _holds_far(self) -> bool:
        """Whether frames are held that are too far off to be jitter."""
        return bool(self._held) and abs(self._held[0][0] - self._last.end_us) > JITTER_US

    def add(self, time_us: int, frame: av.AudioFrame) -> None:
        """Adds a frame to the last piece, or holds it until the next ones tell where it belongs."""
        if self._piece is None or not self._piece.has_format_of(frame):
            self.close()
            self._piece = _Piece(time_us, frame)
        if self._holds_far and self._off_us(time_us) <= JITTER_US:
            self._time_line.errors += 1  # as if nothing had been: their time was wrong
            self._feed_held()
        elif self._held and abs(time_us - self.end_us) > JITTER_US:
            self._settle()
        if self._off_us(time_us) <= ROUNDING_US:
            self._feed_held()
            self._piece.feed(frame, self._time_line)
        else:
            self._held.append((time_us, frame))
            if len(self._held) > MAX_FRAMES_OFF:
                self._begin_with_held()

    def close(self) -> None:
        """Ends the last piece."""
        if self._piece is not None:
            self._settle()
            self._piece.close(self._time_line)

    def _off_us(self, time_us: int) -> int:
        """How far a frame is from where the piece ends if what is held belongs to it."""
        return abs(time_us - self._last.end_us - self._held_us)

    def _settle(self) -> None:
        """Decides about frames that are held: jitter of this piece, or the start of a new one."""
        if self._holds_far:
            self._begin_with_held()
        self._feed_held()

    def _begin_with_held(self) -> None:
        """Ends the last piece and begins a new one with the frames that are held."""
        time_us, frame = self._held[0]
        back_us = self._last.time_us - time_us
        if back_us > JOIN_US and self._last.num_frames <= MAX_FRAMES_OFF:
            self._time_line.errors += 1  # time goes back: the last piece was ahead of its own
        else:
            self._last.close(self._time_line)
        self._piece = _Piece(time_us, frame)
        self._feed_held()

    def _feed_held(self) -> None:
        for _, frame in self._held:
            self._last.feed(frame, self._time_line)
        self._held = []


def num_samples(duration_us: int) -> int:
    """Samples at 16 kHz in a duration."""
    return round(duration_us * SAMPLE_RATE_HZ / SECOND_US)


def _format(frame: av.AudioFrame) -> tuple:
    return frame.format.name, frame.layout.name, frame.sample_rate


def tame(block: av.AudioFrame) -> tuple[av.AudioFrame, bool]:
    """The block with its samples within [-1, 1], and whether any of them was wild.

    Only floating-point formats can hold such samples.
    """
    if not block.format.name.startswith(('flt', 'dbl')):
        return block, False
    block = packed(block)
    samples = block.to_ndarray()
    if samples.min(initial=0) >= -1 and samples.max(initial=0) <= 1:  # not so with a NaN
        return block, False
    wild = not np.abs(samples).max() <= WILD
    clipped = np.clip(np.nan_to_num(samples), -1, 1)
    return with_samples(block, clipped), wild
