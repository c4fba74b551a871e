"""A decoded clip: pictures and sound over the same time, and what to know about them."""

import dataclasses
import enum
import math

import numpy as np

from avmae_tf.config import AUDIO, MODALITIES, VIDEO, MediaSpec
from beam_jobs.audio_track import Sound
from beam_jobs.reasons import SECOND_US, Reason, UnusableClip
from beam_jobs.video_track import Pictures

MAX_SECONDS = 600  # a longer clip is an oversight, or a corrupt timestamp
MISSING_SHARE = 0.1  # of a clip or a modality, from which on it is noted
SILENT_RMS = 3e-4  # -70 dB; a mono mix of anti-phase stereo is below it


class Status(str, enum.Enum):
    """Flaws of a clip that is used all the same."""

    NO_VIDEO = 'no_video'  # there is none, and it is not required
    NO_AUDIO = 'no_audio'
    PARTIAL = 'partial'  # the file ends more than 10 % before the clip should
    PADDED = 'padded'  # over 10 % of a modality are standing pictures or inserted silence
    DAMAGED = 'damaged'  # packets that do not decode were skipped
    CLIPPED_AUDIO = 'clipped_audio'  # decoded samples beyond 1.05 or not finite: not to be trusted
    SILENT = 'silent'  # RMS below -70 dB, as of anti-phase stereo


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """Frames and sound of one clip, from the same start.

    Attributes:
        frames: JPEGs at `frames_per_second`, the first at the clip's start; empty without video.
        waveform: int16 [samples], mono, 16 kHz, sample 0 at the clip's start; empty without audio.
        size: height and width of the frames, (0, 0) without video.
        start_us, end_us: what part of the file this is, in microseconds since the file's start;
            the end is where the file ends if that is before the one asked for.
        valid_samples: how many samples come from the file; the others are silence in gaps.
        status: values of `Status`, in its order.
        rms: of the valid samples, full scale 1.
    """

    frames: tuple[bytes, ...]
    waveform: np.ndarray
    size: tuple[int, int]
    start_us: int
    end_us: int
    valid_samples: int
    status: tuple[str, ...]
    rms: float


def check_length(path: str, duration_us: int) -> None:
    """Raise UnusableClip beyond MAX_SECONDS."""
    if duration_us > MAX_SECONDS * SECOND_US:
        what = f'longer than {MAX_SECONDS} s; give start_seconds and end_seconds'
        raise UnusableClip(Reason.TOO_LONG, f'{path}: {what}')


def assemble(
    path: str,
    start_us: int,
    end_us: float,
    spec: MediaSpec,
    *,
    pictures: Pictures | None,
    sound: Sound | None,
) -> Clip:
    """The clip of what the two tracks have between `start_us` and `end_us` (infinity: no end).

    Raises:
        UnusableClip: something required is not there, or it is too short or too long.
    """
    both: dict[str, Pictures | Sound | None] = {VIDEO: pictures, AUDIO: sound}
    tracks = {modality: track for modality, track in both.items() if track is not None}
    reach_us = {modality: track.reach_us for modality, track in tracks.items() if track.reach_us}
    wanted = [modality for modality in tracks if modality in (spec.required or MODALITIES)]
    missing = [modality for modality in wanted if modality not in reach_us]
    if missing and (spec.required or not reach_us):
        raise _missing(path, start_us, {m: tracks[m] for m in wanted}, missing[0])

    longest_us = max(reach_us[m] for m in wanted if m in reach_us)
    duration_us = int(min(end_us - start_us, longest_us))
    check_length(path, duration_us)
    if duration_us < spec.min_seconds * SECOND_US:
        what = f'{duration_us / SECOND_US:.3f} s, min_seconds is {spec.min_seconds:g}'
        raise UnusableClip(Reason.TOO_SHORT, f'{path}: {what}')

    frames: tuple[bytes, ...] = ()
    size, shares = (0, 0), []
    if pictures is not None and VIDEO in reach_us:
        frames, share = pictures.fit(duration_us, spec)
        size = pictures.size or size
        shares.append(share)
    waveform, num_valid, rms = np.zeros(0, np.int16), 0, 0.0
    if sound is not None and AUDIO in reach_us:
        waveform, num_valid = sound.fit(duration_us)
        rms = float(np.sqrt(np.square(waveform / 32768).sum() / max(1, num_valid)))
        shares.append(num_valid / len(waveform))
    if end_us == math.inf:
        whole_us = max(track.declared_us or 0 for track in tracks.values()) - start_us
        is_partial = max(reach_us.values()) < (1 - MISSING_SHARE) * whole_us
    else:
        is_partial = duration_us < (1 - MISSING_SHARE) * (end_us - start_us)
    holds = {
        Status.NO_VIDEO: VIDEO not in reach_us,
        Status.NO_AUDIO: AUDIO not in reach_us,
        Status.PARTIAL: is_partial,
        Status.PADDED: any(share < 1 - MISSING_SHARE for share in shares),
        Status.DAMAGED: any(track.errors for track in tracks.values()),
        Status.CLIPPED_AUDIO: sound is not None and sound.wild,
        Status.SILENT: AUDIO in reach_us and rms < SILENT_RMS,
    }
    return Clip(
        frames=frames,
        waveform=waveform,
        size=size,
        start_us=start_us,
        end_us=start_us + duration_us,
        valid_samples=num_valid,
        status=tuple(status.value for status in Status if holds[status]),
        rms=rms,
    )


def _missing(
    path: str, start_us: int, tracks: dict[str, Pictures | Sound], modality: str
) -> UnusableClip:
    """Why the segment has nothing of `modality`, one of the wanted `tracks`."""
    at = f'{path}: from {start_us / SECOND_US:.3f} s'
    last_us = [track.last_us for track in tracks.values() if track.last_us is not None]
    all_known = len(last_us) == len(tracks)
    if start_us and all_known and all(time_us <= start_us for time_us in last_us):
        end = f'{max(last_us) / SECOND_US:.3f} s'
        return UnusableClip(Reason.OUT_OF_RANGE, f'{at}: the file ends at {end}')
    if tracks[modality].errors:
        return UnusableClip(Reason.UNREADABLE, f'{at}: its {modality} does not decode')
    return UnusableClip(Reason(f'no_{modality}'), f'{at}: no {modality} from here on')
