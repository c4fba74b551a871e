"""What records keep of a clip, and what a model is given of it.

Shapes: N tokens of one modality, P values of a patch.
"""

import math
from typing import Annotated, Literal

import pydantic
from typing_extensions import Self

from avmae_tf.config.base import (
    HOP_SAMPLES,
    MODALITIES,
    NUM_MEL_BINS,
    SAMPLE_RATE_HZ,
    Count,
    Modality,
    Positive,
    Spec,
)


class MediaSpec(Spec):
    """What a record keeps of a clip."""

    frames_per_second: Annotated[float, pydantic.Field(gt=0.0, le=240.0)] = 8.0
    shorter_side_px: Annotated[int, pydantic.Field(ge=16)] = 256
    jpeg_quality: Annotated[int, pydantic.Field(ge=1, le=100)] = 90
    required: tuple[Modality, ...] = MODALITIES  # a clip that lacks one of these is set aside
    min_seconds: Positive = 0.5

    @property
    def stored_side_px(self) -> int:
        """Shorter side of the frames as they are stored: even, for their colours."""
        return 2 * round(self.shorter_side_px / 2)


class ClipLimits(Spec):
    """What decoding a clip may take; a clip that wants more is set aside.

    Time and CPU time are for opening a file, and anew for each 10 s of it that are read.
    """

    seconds: Positive = 60.0
    cpu_seconds: Positive = 30.0
    memory_mb: Count = 1024


class PatchGrid(Spec):
    """An input tensor cut into patches without overlap; the grid's first axis is the slowest."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        raise NotImplementedError

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Extent of a patch along every axis of `input_shape`, channels included."""
        raise NotImplementedError

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of patches along every axis but the channels."""
        return tuple(n // p for n, p in zip(self.input_shape, self.patch_shape, strict=True))[:-1]

    @property
    def span_seconds(self) -> float | None:
        """How much of a clip a view spans; None where that is all of it."""
        raise NotImplementedError

    @property
    def num_tokens(self) -> int:
        """N, all patches."""
        return math.prod(self.grid)

    @property
    def patch_values(self) -> int:
        """P, the values of one patch."""
        return math.prod(self.patch_shape)


class VideoSpec(PatchGrid):
    """Frames of one view, [num_frames, size_px, size_px, 3] in [-1, 1] (Sec. 4.1).

    A 'stride' view holds frames at `frames_per_second` from some second on, a 'segments' view one
    frame of each of `num_frames` equal parts of the clip.
    """

    num_frames: Count = 16
    sampling: Literal['stride', 'segments'] = 'stride'
    frames_per_second: Positive = 6.25  # stride 4 at 25 frames per second
    size_px: Count = 224
    resize_px: Count | None = None  # shorter side of what is cropped; if unset, of the records
    patch: tuple[Count, Count, Count] = (2, 16, 16)  # tubelet: frames, rows, columns

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.num_frames, self.size_px, self.size_px, 3)

    @property
    def patch_shape(self) -> tuple[int, ...]:
        return (*self.patch, 3)

    @property
    def span_seconds(self) -> float | None:
        return self.num_frames / self.frames_per_second if self.sampling == 'stride' else None

    @pydantic.model_validator(mode='after')
    def _whole_tubelets(self) -> Self:
        for name, extent, patch in zip(
            ('num_frames', 'size_px', 'size_px'), self.input_shape, self.patch, strict=False
        ):
            if extent % patch:
                raise ValueError(
                    f'video {name} must be a multiple of the tubelet, got {name}={extent}, '
                    f'patch={self.patch} (paper, Sec. 4.1)'
                )
        return self

    @pydantic.model_validator(mode='after')
    def _crop_fits(self) -> Self:
        if self.resize_px is not None and self.resize_px < self.size_px:
            raise ValueError(
                f'video resize_px must be at least size_px, got resize_px={self.resize_px}, '
                f'size_px={self.size_px}'
            )
        return self


class AudioSpec(PatchGrid):
    """Log-mel spectrogram, [num_frames, 128, 1]: 25 ms Hamming window, 10 ms hop (Sec. 4.1).

    Not normalised, as in the paper; the AudioSet release does (`release-audioset-base`).
    """

    seconds: Positive = 8.0
    patch: tuple[Count, Count] = (16, 16)  # spectrogram frames, mel bins
    mean: float = 0.0  # subtracted from the log-mel, in training, testing and serving
    deviation: Positive = 1.0  # what the difference is divided by

    @property
    def num_samples(self) -> int:
        """Samples of sound that a view is made of."""
        return round(self.seconds * SAMPLE_RATE_HZ)

    @property
    def num_frames(self) -> int:
        """Spectrogram frames kept: whole patches only (10 s: 992 of 1000)."""
        frames = math.ceil(self.num_samples / HOP_SAMPLES)
        return frames - frames % self.patch[0]

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.num_frames, NUM_MEL_BINS, 1)

    @property
    def patch_shape(self) -> tuple[int, ...]:
        return (*self.patch, 1)

    @property
    def span_seconds(self) -> float:
        return self.seconds

    @pydantic.model_validator(mode='after')
    def _whole_patches(self) -> Self:
        if self.num_frames < self.patch[0]:
            raise ValueError(
                f'audio needs at least one patch of {self.patch[0]} frames, '
                f'got seconds={self.seconds}'
            )
        if NUM_MEL_BINS % self.patch[1]:
            raise ValueError(
                f'audio patch height must divide {NUM_MEL_BINS} mel bins, got patch={self.patch}'
            )
        return self
