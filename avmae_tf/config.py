"""Every setting of the method as frozen, strict models, and every rule between two settings.

A configuration that can be built can be trained: an illegal combination raises here, with the
subject, the rule, the value and its source, and nowhere later.

Shapes: N tokens of one modality, P values per patch.
"""

import functools
import json
import math
import operator
from typing import Annotated, Literal

import pydantic

VIDEO, AUDIO = 'video', 'audio'
MODALITIES = (VIDEO, AUDIO)  # also the order in which their tokens are concatenated
Modality = Literal['video', 'audio']

SAMPLE_RATE_HZ = 16_000
HOP_SAMPLES = 160  # 10 ms: 100 log-mel frames per second
NUM_MEL_BINS = 128

Ratio = Annotated[float, pydantic.Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, pydantic.Field(gt=0.0)]
NotNegative = Annotated[float, pydantic.Field(ge=0.0)]
Count = Annotated[int, pydantic.Field(ge=1)]


class Spec(pydantic.BaseModel):
    """A frozen group of settings; an unknown or misspelt field is an error that names it."""

    model_config = pydantic.ConfigDict(frozen=True, extra='forbid')

    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode='json'), sort_keys=True)

    @classmethod
    def from_json(cls, text: str):
        return cls.model_validate_json(text)

    def replace(self, **changes):
        """A copy with `changes`, validated anew."""
        return type(self).model_validate({**self.model_dump(), **changes})


class MediaSpec(Spec):
    """What a record keeps of a clip."""

    frames_per_second: Positive = 8.0
    shorter_side_px: Annotated[int, pydantic.Field(ge=16)] = 256
    jpeg_quality: Annotated[int, pydantic.Field(ge=1, le=100)] = 90
    required: tuple[Modality, ...] = MODALITIES  # a clip that lacks one of these is set aside
    min_seconds: Positive = 0.5


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
        return tuple(n // p for n, p in zip(self.input_shape, self.patch_shape, strict=True))[:-1]

    @property
    def num_tokens(self) -> int:
        return math.prod(self.grid)

    @property
    def patch_values(self) -> int:
        return math.prod(self.patch_shape)


class VideoSpec(PatchGrid):
    """Frames of one view, [num_frames, size_px, size_px, 3] in [-1, 1] (Sec. 4.1)."""

    num_frames: Count = 16
    frames_per_second: Positive = 6.25  # stride 4 at 25 frames per second
    size_px: Count = 224
    patch: tuple[Count, Count, Count] = (2, 16, 16)  # tubelet: frames, rows, columns

    @property
    def input_shape(self):
        return (self.num_frames, self.size_px, self.size_px, 3)

    @property
    def patch_shape(self):
        return (*self.patch, 3)

    @pydantic.model_validator(mode='after')
    def _whole_tubelets(self):
        for name, extent, patch in zip(
            ('num_frames', 'size_px', 'size_px'), self.input_shape, self.patch, strict=False
        ):
            if extent % patch:
                raise ValueError(
                    f'video {name} must be a multiple of the tubelet, got {name}={extent}, '
                    f'patch={self.patch} (paper, Sec. 4.1)'
                )
        return self


class AudioSpec(PatchGrid):
    """Log-mel spectrogram, [num_frames, 128, 1]: 25 ms Hamming window, 10 ms hop (Sec. 4.1)."""

    seconds: Positive = 8.0
    patch: tuple[Count, Count] = (16, 16)  # spectrogram frames, mel bins

    @property
    def num_samples(self) -> int:
        return round(self.seconds * SAMPLE_RATE_HZ)

    @property
    def num_frames(self) -> int:
        """Spectrogram frames kept: whole patches only (10 s: 992 of 1000)."""
        frames = math.ceil(self.num_samples / HOP_SAMPLES)
        return frames - frames % self.patch[0]

    @property
    def input_shape(self):
        return (self.num_frames, NUM_MEL_BINS, 1)

    @property
    def patch_shape(self):
        return (*self.patch, 1)

    @pydantic.model_validator(mode='after')
    def _whole_patches(self):
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


class BackboneSpec(Spec):
    """A stack of transformer blocks; name it ('tiny' to 'huge') or give the four numbers."""

    width: Count
    num_layers: Count
    num_heads: Count
    mlp_width: Count

    @pydantic.model_validator(mode='before')
    @classmethod
    def _by_name(cls, value):
        if isinstance(value, str):
            if value not in BACKBONES:
                raise ValueError(f'backbone must be one of {sorted(BACKBONES)}, got {value!r}')
            return dict(zip(cls.model_fields, BACKBONES[value], strict=True))
        return value

    @pydantic.model_validator(mode='after')
    def _whole_heads(self):
        if self.width % self.num_heads:
            raise ValueError(
                f'width must be a multiple of num_heads, got {self.width} and {self.num_heads}'
            )
        return self


BACKBONES = {  # width, layers, heads, MLP width
    'tiny': (192, 12, 3, 768),
    'small': (384, 12, 6, 1536),
    'base': (768, 12, 12, 3072),
    'large': (1024, 24, 16, 4096),
    'huge': (1280, 32, 16, 5120),
}


# A fusion says which blocks a token of each modality goes through (Sec. 3.2, Fig. 2).
class Early(Spec):
    """One stack on the concatenation of both modalities (Fig. 2a)."""

    kind: Literal['early'] = 'early'


class Separate(Spec):
    """A stack of its own for each modality (Fig. 2b)."""

    kind: Literal['separate'] = 'separate'


class Shared(Spec):
    """One stack that each modality goes through by itself (Fig. 2c)."""

    kind: Literal['shared'] = 'shared'


class Mid(Spec):
    """Separate blocks, then `fused_layers` (S) joint ones on the concatenation (Fig. 2d)."""

    kind: Literal['mid'] = 'mid'
    fused_layers: Count = 2


class Bottleneck(Spec):
    """MBT: streams exchange `num_bottlenecks` tokens from block `fusion_layer` on [56]."""

    kind: Literal['bottleneck'] = 'bottleneck'
    fusion_layer: Annotated[int, pydantic.Field(ge=0)] = 8
    num_bottlenecks: Count = 4


def _fusion(*kinds):
    """Any of `kinds`; a bare name stands for the fusion with its default settings."""
    return Annotated[
        functools.reduce(operator.or_, kinds),
        pydantic.Field(discriminator='kind'),
        pydantic.BeforeValidator(lambda v: {'kind': v} if isinstance(v, str) else v),
    ]


PretrainFusion = _fusion(Early, Separate, Shared, Mid)
FinetuneFusion = _fusion(Early, Separate, Shared, Mid, Bottleneck)


def check_fused_layers(fusion: Spec, num_layers: int):
    """Mid fusion keeps at least one separate block and one joint block."""
    if isinstance(fusion, Mid) and not 1 <= fusion.fused_layers < num_layers:
        raise ValueError(
            f'mid fusion needs 1 <= fused_layers < num_layers, got '
            f'fused_layers={fusion.fused_layers}, num_layers={num_layers} (paper, Sec. 3.2)'
        )
    if isinstance(fusion, Bottleneck) and fusion.fusion_layer > num_layers:
        raise ValueError(
            f'bottleneck fusion needs 0 <= fusion_layer <= num_layers, got '
            f'fusion_layer={fusion.fusion_layer}, num_layers={num_layers} (MBT [56], Sec. 3)'
        )
