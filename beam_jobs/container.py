"""One open media file: its streams, their decoded frames in order, and what went wrong.

Times are integer microseconds since the container's start time, which is where players put 0;
a stream that starts before or after it keeps its distance.
"""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import BinaryIO

import av
from av.format import Flags
from av.stream import Discard, Disposition

from avmae_tf.config import MODALITIES, VIDEO, MediaSpec
from avmae_tf.storage import open_binary
from beam_jobs.channels import in_order, settle
from beam_jobs.formats import FORMATS, MATROSKA, MPEGTS, SEEKABLE
from beam_jobs.joins import Offsets, find_offsets, shifted
from beam_jobs.reasons import SECOND_US, Reason, UnusableClip

Stream = av.VideoStream | av.AudioStream
# A seek lands on a key frame by decoding order, and in transport streams anywhere near: where the
# first attempt ends up too late, look further back, and at last read from the start of the file.
SEEK_BACK_US = (0, 2 * SECOND_US, 10 * SECOND_US)
SCAN_BYTES = 2**26  # so many are progress where nothing is decoded
STEP_SECONDS = 10  # of a file; getting so much further is progress
MAX_PIXELS = 8192 * 4608  # a corrupt header must not make the decoder allocate gigabytes

av.logging.set_level(None)


def on_progress() -> None:
    """Called for each STEP_SECONDS of a file that are read; a worker sets its timers anew."""


def _open(path: str) -> BinaryIO:
    if os.path.exists(path) and not os.path.isfile(path):
        raise UnusableClip(Reason.UNREADABLE, f'{path}: not a regular file')
    if os.path.isfile(path) and not os.path.getsize(path):
        raise UnusableClip(Reason.UNREADABLE, f'{path}: an empty file')
    return open_binary(path)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[av.container.InputContainer]:
    with (
        contextlib.closing(_open(path)) as file,
        av.open(
            file, 'r', container_options={'format_whitelist': FORMATS}, metadata_errors='replace'
        ) as container,
    ):
        yield container


@contextlib.contextmanager
def open_media(path: str, until_us: float = 0) -> Iterator['Media']:
    """The file, to be read up to a time."""
    with _opened(path) as container:
        media = Media(path, container, until_us)
        if container.format.flags & Flags.ts_discont.value:  # type: ignore[operator] # is an int
            media.offsets, media.end_us = joins(path)
        yield media


@functools.lru_cache(maxsize=1)
def joins(path: str) -> tuple[Offsets, int | None]:
    """Where recordings were joined in a file whose format allows it: `find_offsets`."""
    with _opened(path) as container:
        media = Media(path, container, 0)
        return find_offsets(media.times(media.streams))


def time_base(stream: Stream) -> Fraction:
    """Seconds of one tick of its timestamps; libav gives every stream of a file some."""
    assert stream.time_base is not None
    return stream.time_base


def seeks(target_us: int) -> Iterator[int | None]:
    """Where to start reading to have everything from `target_us` on; None is the file's start."""
    for back_us in SEEK_BACK_US:
        if target_us - back_us > max(SEEK_BACK_US):
            yield target_us - back_us
    yield None


@dataclasses.dataclass
class Media:
    """An open container, read through one of its streams at a time."""

    path: str
    container: av.container.InputContainer
    until_us: float  # what is read beyond is no progress
    errors: int = 0  # packets that did not decode, frames that decoded with errors
    channel_order: list[int] | None = None  # of the sound, where it is not libav's
    offsets: Offsets = dataclasses.field(default_factory=dict)  # of recordings that were joined
    end_us: int | None = None  # of the last of them

    @property
    def can_seek(self) -> bool:
        """Whether times after a seek are those of the file."""
        return self.container.format.name in SEEKABLE and not self.offsets

    @property
    def length_us(self) -> int | None:
        """From the file's start to its end, by the header or by libav's estimate."""
        if self.offsets and self.end_us is not None:
            return self.end_us - (self.container.start_time or 0)
        length_us = self.container.duration or 0
        if self.container.format.name == MATROSKA:  # has the time of its end there
            length_us -= self.container.start_time or 0
        return length_us or None

    @property
    def declared_us(self) -> int | None:
        """`length_us` where the format has an exact one."""
        return self.length_us if self.can_seek and self.container.format.name != MPEGTS else None

    def stream(self, modality: str) -> Stream | None:
        """The stream to use: marked as default, else the first; cover art is no video."""
        picture = Disposition.attached_pic | Disposition.timed_thumbnails
        kinds = self.container.streams
        usable = [
            stream
            for stream in (kinds.video if modality == VIDEO else kinds.audio)
            if stream.codec_context is not None and not stream.disposition & picture
        ]
        default = (stream for stream in usable if stream.disposition & Disposition.default)
        return next(default, next(iter(usable), None))

    @property
    def streams(self) -> list[Stream]:
        """The stream to use of each modality that the file has."""
        return [stream for m in MODALITIES if (stream := self.stream(m)) is not None]

    def check(self, spec: MediaSpec) -> None:
        """Raise UnusableClip where the streams alone rule the file out."""
        if self.container.format.name.endswith('_pipe'):
            raise UnusableClip(Reason.TOO_SHORT, f'{self.path}: a still picture')
        if not self.streams:
            raise UnusableClip(Reason.UNREADABLE, f'{self.path}: neither video nor audio in it')
        for stream in self.streams:
            if stream.frames > self.container.size > 0:
                what = f'claims {stream.frames} frames in {self.container.size} bytes'
                raise UnusableClip(Reason.UNREADABLE, f'{self.path}: {what}')
        for modality in MODALITIES:
            if modality in spec.required and self.stream(modality) is None:
                raise UnusableClip(
                    Reason(f'no_{modality}'), f'{self.path}: has no {modality} stream'
                )

    def clock(self, stream: Stream) -> Callable[[int], int]:
        """Time of a timestamp of `stream`."""
        origin_us = self.container.start_time or 0
        base = time_base(stream)
        tick_us, parts = base.numerator * SECOND_US, base.denominator
        return lambda timestamp: round(timestamp * tick_us / parts) - origin_us

    def ends_before(self, time_us: float) -> bool:
        """Whether the file ends before a time: by its length or, without one, by its packets."""
        if self.length_us is not None:
            return self.length_us < time_us
        stream = self.streams[0]
        clock = self.clock(stream)
        return all(
            packet.pts is not None and clock(packet.pts) < time_us
            for packet in self.packets(stream, None)
            if packet.size
        )

    def packets(self, stream: Stream, seek_us: int | None) -> Iterator[av.Packet]:
        """Packets of `stream` in file order, then the empty one that flushes its decoder.

        None at all where the file cannot be sought to `seek_us`.
        """
        self._discard_but(stream)
        stream.codec_context.thread_type = 'NONE'
        stream.codec_context.thread_count = 1
        if isinstance(stream, av.AudioStream):
            self.channel_order = settle(stream.codec_context)
        stream.codec_context.options = {'max_pixels': str(MAX_PIXELS)}
        if seek_us is not None:
            if not self.can_seek:
                return
            at_seconds = (seek_us + (self.container.start_time or 0)) / SECOND_US
            try:
                self.container.seek(int(at_seconds / time_base(stream)), stream=stream)
            except MemoryError:
                raise
            except av.FFmpegError:
                return
        try:
            packets = shifted(self.container.demux(stream), self.offsets.get(stream.index, []))
            yield from self._with_progress(packets, self.clock(stream))
        except av.InvalidDataError:
            self.errors += 1
            yield av.Packet()
        except IndexError:  # PyAV 17.1 at the end of a file in which a stream appeared on the way
            yield av.Packet()

    def _discard_but(self, *streams: Stream) -> None:
        for stream in self.container.streams:
            stream.discard = Discard.default if stream in streams else Discard.all

    def times(self, streams: list[Stream]) -> Iterator[tuple[int, int | None, int]]:
        """Stream, decoding time and duration of every packet, in the order of the file."""
        self._discard_but(*streams)
        us = {s.index: SECOND_US * time_base(s) for s in streams}
        num_bytes = 0
        with contextlib.suppress(av.InvalidDataError, IndexError):
            for packet in self.container.demux(streams):
                num_bytes += packet.size
                if num_bytes > SCAN_BYTES:
                    on_progress()
                    num_bytes = 0
                if packet.size:
                    tick_us = us[packet.stream_index]
                    time = packet.pts if packet.dts is None else packet.dts
                    time_us = None if time is None else round(time * tick_us)
                    yield packet.stream_index, time_us, round((packet.duration or 0) * tick_us)

    def _with_progress(self, packets: Iterator, clock: Callable) -> Iterator[av.Packet]:
        step_us = STEP_SECONDS * SECOND_US
        next_us = step_us
        for packet in packets:
            if packet.pts is not None and next_us <= clock(packet.pts) <= self.until_us:
                next_us = clock(packet.pts) + step_us
                on_progress()
            yield packet

    def decode(self, stream: Stream, packet: av.Packet) -> list:
        """Frames that `packet` completes; damage is counted and skipped."""
        try:
            frames = stream.codec_context.decode(packet if packet.size else None)
        except av.EOFError:
            return []
        except MemoryError:  # is an FFmpegError too
            raise
        except av.FFmpegError:
            self.errors += 1
            return []
        self.errors += sum(frame.is_corrupt for frame in frames)
        if order := self.channel_order:
            return [in_order(f, order) if isinstance(f, av.AudioFrame) else f for f in frames]
        return [*frames]
