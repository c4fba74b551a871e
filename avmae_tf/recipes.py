"""What is trained and how: pretraining and finetuning settings, and the named recipes."""

import math
from typing import Annotated, Literal

import pydantic

from avmae_tf.config import (
    AUDIO,
    MODALITIES,
    VIDEO,
    AudioSpec,
    BackboneSpec,
    Bottleneck,
    Count,
    FinetuneFusion,
    Mid,
    Modality,
    NotNegative,
    Positive,
    PretrainFusion,
    Ratio,
    Separate,
    Shared,
    Spec,
    VideoSpec,
    check_fused_layers,
)


class Adam(Spec):
    """Adam (Table 20)."""

    kind: Literal['adam'] = 'adam'
    beta_1: Ratio = 0.9
    beta_2: Ratio = 0.95


class SGD(Spec):
    """Stochastic gradient descent with heavy-ball momentum (Tables 22 to 24)."""

    kind: Literal['sgd'] = 'sgd'
    momentum: Ratio = 0.9


OptimizerSpec = Annotated[Adam | SGD, pydantic.Field(discriminator='kind')]


class ScheduleSpec(Spec):
    """Linear warm-up, then half a cosine to zero; the rate scales with the batch size [36]."""

    learning_rate: Positive
    reference_batch_size: Count  # the batch size that `learning_rate` is meant for
    batch_size: Count
    epochs: Positive
    warmup_epochs: NotNegative = 0.0

    @property
    def peak_learning_rate(self) -> float:
        return self.learning_rate * self.batch_size / self.reference_batch_size

    def steps(self, epochs: float, num_examples: int) -> int:
        """Steps of `batch_size` in `epochs` passes over `num_examples`."""
        return math.floor(epochs * num_examples / self.batch_size)

    @pydantic.model_validator(mode='after')
    def _warm_up_first(self):
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f'warmup_epochs must be below epochs, got {self.warmup_epochs} and {self.epochs}'
            )
        return self


class TrainingConfig(Spec):
    """What pretraining and finetuning have in common."""

    modalities: tuple[Modality, ...] = MODALITIES
    video: VideoSpec = VideoSpec()
    audio: AudioSpec = AudioSpec()
    backbone: BackboneSpec
    optimizer: OptimizerSpec
    schedule: ScheduleSpec
    random_crop: bool = False  # of the stored frames; the centre otherwise
    random_flip: bool = False
    precision: Literal['float32', 'mixed_bfloat16'] = 'float32'
    seed: int = 0

    def inputs(self, modality: str):
        """The spec of a modality's input tensor."""
        return {VIDEO: self.video, AUDIO: self.audio}[modality]

    @pydantic.field_validator('modalities')
    @classmethod
    def _in_canonical_order(cls, modalities):
        if not modalities or len(set(modalities)) != len(modalities):
            raise ValueError(f'modalities must be one or both of {MODALITIES}, got {modalities}')
        return tuple(m for m in MODALITIES if m in modalities)


class DecoderSpec(Spec):
    """The light transformer that is dropped after pretraining (Sec. 3.3, Table 21)."""

    width: Count
    num_layers: Count = 4
    num_heads: Count
    mlp_width: Count
    fusion: PretrainFusion = Shared()

    @property
    def backbone(self) -> BackboneSpec:
        return BackboneSpec(**self.model_dump(exclude={'fusion'}))

    @pydantic.model_validator(mode='after')
    def _legal(self):
        check_fused_layers(self.fusion, self.num_layers)
        return self

    @classmethod
    def for_backbone(cls, name: str, **changes):
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
    """Random masking: the first floor(ratio N) tokens of a permutation are hidden (Sec. 4.1)."""

    video_ratio: Ratio = 0.9
    audio_ratio: Ratio = 0.5

    def num_masked(self, modality: str, num_tokens: int) -> int:
        ratio = {VIDEO: self.video_ratio, AUDIO: self.audio_ratio}[modality]
        return int(ratio * num_tokens)


class PretrainConfig(TrainingConfig):
    """An audiovisual masked autoencoder and its training (Sec. 3, Tables 20 and 21)."""

    encoder: PretrainFusion = Mid()
    decoder: DecoderSpec
    masking: MaskingSpec = MaskingSpec()
    optimizer: OptimizerSpec = Adam()

    @pydantic.model_validator(mode='after')
    def _legal(self):
        check_fused_layers(self.encoder, self.backbone.num_layers)
        if isinstance(self.encoder, Separate) and isinstance(self.decoder.fusion, Separate):
            raise ValueError(
                'a separate encoder needs a decoder that couples the modalities, got '
                "encoder='separate', decoder='separate' (paper, Sec. 3.3)"
            )
        for modality in self.modalities:
            num_tokens = self.inputs(modality).num_tokens
            if not self.masking.num_masked(modality, num_tokens):
                raise ValueError(
                    f'{modality} masking must hide at least one of {num_tokens} tokens '
                    f'(paper, Eq. 1), got {self.masking}'
                )
        return self


class FinetuneConfig(TrainingConfig):
    """A classifier warm-started from a pretrained encoder (Sec. 4.1, Tables 22 to 24)."""

    fusion: FinetuneFusion = Bottleneck()
    optimizer: OptimizerSpec = SGD()
    layerwise_decay: Annotated[float, pydantic.Field(gt=0.0, le=1.0)] = 0.75
    clip_norm: Positive = 1.0
    label_smoothing: Ratio = 0.3
    stochastic_depth: Ratio = 0.3
    num_views: Count = 4  # views of a clip whose logits are averaged in testing

    @pydantic.model_validator(mode='after')
    def _legal(self):
        check_fused_layers(self.fusion, self.backbone.num_layers)
        if self.layerwise_decay != 1.0 and not isinstance(self.optimizer, SGD):
            raise ValueError(
                'layerwise_decay scales the update of SGD and would be lost in Adam, got '
                f'layerwise_decay={self.layerwise_decay}, optimizer={self.optimizer.kind!r}'
            )
        return self


class RunSpec(Spec):
    """How a run is kept and watched; nothing here changes what is learned."""

    steps_per_loop: Count = 50  # steps between two looks of the host: scalars, progress
    checkpoint_every_loops: Count = 10
    test_every_loops: Count = 10
    pictures_every_loops: Count = 10
    jit_compile: bool = False  # XLA; always on a TPU


_DEMO_INPUTS = {  # two seconds of small pictures: minutes on two CPU cores
    'video': VideoSpec(num_frames=8, frames_per_second=4.0, size_px=64),
    'audio': AudioSpec(seconds=2.0),
    'backbone': BackboneSpec(width=96, num_layers=4, num_heads=3, mlp_width=384),
}
PRETRAIN_RECIPES = {
    'demo': PretrainConfig(
        **_DEMO_INPUTS,
        decoder=DecoderSpec(width=64, num_layers=2, num_heads=2, mlp_width=256),
        encoder=Mid(fused_layers=1),
        masking=MaskingSpec(video_ratio=0.9, audio_ratio=0.5),
        schedule=ScheduleSpec(
            learning_rate=1e-3,
            reference_batch_size=32,
            batch_size=32,
            epochs=20,
            warmup_epochs=2,
        ),
    ),
}
FINETUNE_RECIPES = {
    'demo': FinetuneConfig(
        **_DEMO_INPUTS,
        fusion=Bottleneck(fusion_layer=2),
        label_smoothing=0.1,
        stochastic_depth=0.0,
        num_views=1,
        schedule=ScheduleSpec(
            learning_rate=0.1,
            reference_batch_size=32,
            batch_size=32,
            epochs=30,
            warmup_epochs=2,
        ),
    ),
}
