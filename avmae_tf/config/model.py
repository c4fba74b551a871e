"""Transformers, the ways in which modalities meet in them, and masking (Sec. 3)."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from typing_extensions import Self

from avmae_tf.config.base import AUDIO, VIDEO, Count, Kind, Ratio, Spec, any_of
from avmae_tf.config.data import PatchGrid


class BackboneSpec(Spec):
    """A stack of transformer blocks; name it ('tiny' to 'huge') or give the four numbers."""

    width: Count
    num_layers: Count
    num_heads: Count
    mlp_width: Count

    @pydantic.model_validator(mode='before')
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in BACKBONES:
                raise ValueError(f'backbone must be one of {sorted(BACKBONES)}, got {value!r}')
            return dict(zip(cls.model_fields, BACKBONES[value], strict=True))
        return value

    @pydantic.model_validator(mode='after')
    def _whole_heads(self) -> Self:
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


Passes = list[tuple[int, int]]  # (how many blocks, on how many tokens at once)


class Fusion(Kind):
    """Which blocks a token of each modality goes through (Sec. 3.2, Fig. 2).

    `models.fusion.build_fusion` makes the layers; all else that depends on the kind of fusion is
    asked here.
    """

    couples: ClassVar[bool]  # whether tokens of a modality know of the other one afterwards
    pretrains: ClassVar[bool] = True  # whether an autoencoder can have it

    def passes(self, num_layers: int, num_tokens: Mapping[str, int]) -> Passes:
        """All that is computed, for the cost of a model."""
        raise NotImplementedError

    def tied_blocks(self, num_layers: int) -> range | None:
        """The blocks that serve both modalities; None where a kind does not say."""
        return None

    def check(self, num_layers: int) -> None:
        """Raises ValueError where `num_layers` blocks cannot be fused like this."""


class Early(Fusion):
    """One stack on the concatenation of both modalities (Fig. 2a)."""

    kind: Literal['early'] = 'early'
    couples: ClassVar[bool] = True

    def passes(self, num_layers: int, num_tokens: Mapping[str, int]) -> Passes:
        return [(num_layers, sum(num_tokens.values()))]

    def tied_blocks(self, num_layers: int) -> range:
        return range(num_layers)


class Separate(Fusion):
    """A stack of its own for each modality (Fig. 2b)."""

    kind: Literal['separate'] = 'separate'
    couples: ClassVar[bool] = False

    def passes(self, num_layers: int, num_tokens: Mapping[str, int]) -> Passes:
        return [(num_layers, n) for n in num_tokens.values()]

    def tied_blocks(self, num_layers: int) -> range:
        return range(0)


class Shared(Fusion):
    """One stack that each modality goes through by itself (Fig. 2c)."""

    kind: Literal['shared'] = 'shared'
    couples: ClassVar[bool] = False

    def passes(self, num_layers: int, num_tokens: Mapping[str, int]) -> Passes:
        return [(num_layers, n) for n in num_tokens.values()]

    def tied_blocks(self, num_layers: int) -> range:
        return range(num_layers)


class Mid(Fusion):
    """Separate blocks, then `fused_layers` (S) joint ones on the concatenation (Fig. 2d)."""

    kind: Literal['mid'] = 'mid'
    couples: ClassVar[bool] = True
    fused_layers: Count = 2

    def passes(self, num_layers: int, num_tokens: Mapping[str, int]) -> Passes:
        apart = [(num_layers - self.fused_layers, n) for n in num_tokens.values()]
        return [*apart, (self.fused_layers, sum(num_tokens.values()))]

    def tied_blocks(self, num_layers: int) -> range:
        return range(num_layers - self.fused_layers, num_layers)

    def check(self, num_layers: int) -> None:
        if not 1 <= self.fused_layers < num_layers:
            raise ValueError(
                f'mid fusion needs 1 <= fused_layers < num_layers, got '
                f'fused_layers={self.fused_layers}, num_layers={num_layers} (paper, Sec. 3.2)'
            )


class Bottleneck(Fusion):
    """MBT: streams exchange `num_bottlenecks` tokens from block `fusion_layer` on [56]."""

    kind: Literal['bottleneck'] = 'bottleneck'
    couples: ClassVar[bool] = True
    pretrains: ClassVar[bool] = False
    fusion_layer: Annotated[int, pydantic.Field(ge=0)] = 8
    num_bottlenecks: Count = 4

    def passes(self, num_layers: int, num_tokens: Mapping[str, int]) -> Passes:
        fused = num_layers - self.fusion_layer if len(num_tokens) > 1 else 0
        apart = [(num_layers - fused, n) for n in num_tokens.values()]
        return apart + [(fused, n + self.num_bottlenecks) for n in num_tokens.values()]

    def tied_blocks(self, num_layers: int) -> range:
        return range(0)

    def check(self, num_layers: int) -> None:
        if self.fusion_layer > num_layers:
            raise ValueError(
                f'bottleneck fusion needs 0 <= fusion_layer <= num_layers, got '
                f'fusion_layer={self.fusion_layer}, num_layers={num_layers} (MBT [56], Sec. 3)'
            )


_AnyFusion = pydantic.SerializeAsAny[Fusion]
PretrainFusion = Annotated[_AnyFusion, any_of(Fusion, lambda member: member.pretrains)]
FinetuneFusion = Annotated[_AnyFusion, any_of(Fusion)]


class DecoderSpec(Spec):
    """The light transformer that is dropped after pretraining (Sec. 3.3, Table 21)."""

    width: Count
    num_layers: Count = 4
    num_heads: Count
    mlp_width: Count
    fusion: PretrainFusion = Shared()

    @property
    def backbone(self) -> BackboneSpec:
        """The same four numbers as a backbone."""
        return BackboneSpec(**self.model_dump(exclude={'fusion'}))

    @pydantic.model_validator(mode='after')
    def _legal(self) -> Self:
        self.fusion.check(self.num_layers)
        return self

    @classmethod
    def for_backbone(cls, name: str, **changes: Any) -> Self:
        """The paper's decoder beside a named backbone; half its width where the paper is silent."""
        width, heads = DECODER_WIDTHS[name]
        return cls(**{'width': width, 'num_heads': heads, 'mlp_width': 4 * width, **changes})


DECODER_WIDTHS = {
    'tiny': (96, 3),
    'small': (192, 3),
    'base': (384, 6),
    'large': (512, 8),
    'huge': (640, 10),
}


class MaskingSpec(Spec):
    """Random masking: the first floor(ratio N) tokens of a permutation are hidden (Sec. 4.1).

    Tubes hide floor(ratio of the places in a frame), the same ones at every time step [29, 76].
    """

    video_ratio: Ratio = 0.9
    audio_ratio: Ratio = 0.5
    video_kind: Literal['random', 'tube'] = 'random'

    def num_steps(self, modality: str, grid: PatchGrid) -> int:
        """How many time steps have their mask in common: all of a tube's, else one."""
        return grid.grid[0] if modality == VIDEO and self.video_kind == 'tube' else 1

    def num_masked(self, modality: str, grid: PatchGrid) -> int:
        """M, how many tokens of a modality are hidden."""
        ratio = {VIDEO: self.video_ratio, AUDIO: self.audio_ratio}[modality]
        steps = self.num_steps(modality, grid)
        return int(ratio * (grid.num_tokens // steps)) * steps
