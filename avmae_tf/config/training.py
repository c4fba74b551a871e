"""What is trained and how: every setting of pretraining and finetuning (appendix B)."""

import math
from typing import Annotated, Literal

import pydantic

from avmae_tf.config.base import (
    AUDIO,
    MODALITIES,
    VIDEO,
    Count,
    Modality,
    NotNegative,
    Positive,
    Ratio,
    Spec,
)
from avmae_tf.config.data import AudioSpec, VideoSpec
from avmae_tf.config.model import (
    BackboneSpec,
    Bottleneck,
    DecoderSpec,
    FinetuneFusion,
    MaskingSpec,
    Mid,
    PretrainFusion,
    Separate,
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
