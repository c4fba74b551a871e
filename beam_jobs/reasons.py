"""Why a clip cannot be used: one reason out of a fixed list, whatever went wrong."""

import contextlib
import enum
from collections.abc import Iterator

SECOND_US = 1_000_000


class Reason(str, enum.Enum):
    """Why a clip cannot be used; the whole list, for counters and the dead-letter output."""

    MISSING = 'missing'  # no such file
    UNREADABLE = 'unreadable'  # not a file, no permission, not media, or nothing in it decodes
    NO_VIDEO = 'no_video'  # video is required; no moving picture in the file or in the segment
    NO_AUDIO = 'no_audio'  # audio is required; no sound in the file or in the segment
    BAD_SEGMENT = 'bad_segment'  # start and end are not two times in order
    OUT_OF_RANGE = 'out_of_range'  # the segment starts after the end of the file
    TOO_SHORT = 'too_short'  # shorter than `min_seconds`; a still picture
    TOO_LONG = 'too_long'  # longer than MAX_SECONDS: give start and end
    CRASHED = 'crashed'  # the decoder did, on this file
    TIMED_OUT = 'timed_out'  # opening or decoding takes longer than ClipLimits allow, or for ever
    OUT_OF_MEMORY = 'out_of_memory'  # it takes more than ClipLimits allow
    INTERNAL_ERROR = 'internal_error'  # none of the above: a fault in this code, please report


class UnusableClip(Exception):
    """A clip that no record can be made of; `detail` names the file and what is wrong."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = ' '.join(detail.split())

    def __str__(self) -> str:
        return f'{self.reason.value}: {self.detail}'


@contextlib.contextmanager
def as_unusable(path: str) -> Iterator[None]:
    """Turns every error that is raised inside the block into UnusableClip."""
    try:
        yield
    except UnusableClip:
        raise
    except FileNotFoundError as error:
        raise UnusableClip(Reason.MISSING, f'{path}: no such file') from error
    except MemoryError as error:
        what = 'decoding takes more memory than memory_mb allows'
        raise UnusableClip(Reason.OUT_OF_MEMORY, f'{path}: {what}') from error
    except (TypeError, AttributeError, NameError, AssertionError, LookupError) as error:
        what = f'{type(error).__name__}: {error}'
        raise UnusableClip(Reason.INTERNAL_ERROR, f'{path}: {what}') from error
    except Exception as error:
        what = getattr(error, 'strerror', None) or str(error) or type(error).__name__
        what = what.removeprefix(f'{path}: ')
        raise UnusableClip(Reason.UNREADABLE, f'{path}: {what}') from error
