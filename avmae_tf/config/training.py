"""What is trained and how: every setting of pretraining and finetuning (appendix B)."""

import math
from typing import Annotated, Literal

import pydantic
from typing_extensions import Self

from avmae_tf.config.augment import AugmentSpec
from avmae_tf.config.base import (
    AUDIO,
    MODALITIES,
    VIDEO,
    Count,
    Kind,
    Modality,
    NotNegative,
    Positive,
    Ratio,
    Spec,
    any_of,
)
from avmae_tf.config.data import AudioSpec, MediaSpec, PatchGrid, VideoSpec
from avmae_tf.config.model import (
    BackboneSpec,
    Bottleneck,
    DecoderSpec,
    FinetuneFusion,
    MaskingSpec,
    Mid,
    PretrainFusion,
    Separate,
)
from avmae_tf.config.objectives import JointReconstruction, ObjectiveSpec


class Optimizer(Kind):
    """How gradients become updates; `training.optimizers.make_optimizer` makes it."""


class Adam(Optimizer):
    """Adam (Table 20); with a `weight_decay`, AdamW."""

    kind: Literal['adam'] = 'adam'
    beta_1: Ratio = 0.9
    beta_2: Ratio = 0.95


class SGD(Optimizer):
    """Stochastic gradient descent with heavy-ball momentum (Tables 22 to 24)."""

    kind: Literal['sgd'] = 'sgd'
    momentum: Ratio = 0.9


OptimizerSpec = Annotated[pydantic.SerializeAsAny[Optimizer], any_of(Optimizer)]


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
    def _warm_up_first(self) -> Self:
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
    augment: AugmentSpec = AugmentSpec()
    positions: Literal['sinusoid', 'learned'] = 'sinusoid'  # of the encoder's tokens
    weight_decay: NotNegative = 0.0  # after a step, kernels shrink by this times their rate
    clip_norm: Positive | None = None  # of all gradients together
    # Of a moving average of the weights, which is then what is tested and exported.
    average_decay: Annotated[float, pydantic.Field(gt=0.0, lt=1.0)] | None = None
    rematerialise: bool = False  # blocks are computed again in the backward pass: less memory
    precision: Literal['float32', 'mixed_bfloat16'] = 'float32'
    streams: Count = 1  # that clips are read in side by side: as many hosts share the reading
    seed: Annotated[int, pydantic.Field(ge=0, lt=2**31)] = 0

    def inputs(self, modality: str) -> PatchGrid:
        """The spec of a modality's input tensor."""
        return {VIDEO: self.video, AUDIO: self.audio}[modality]

    def on(self, media: MediaSpec) -> Self:
        """These settings on records made as `media` says: crops are measured in their frames.

        Where `video.resize_px` is unset it becomes their shorter side. Frames of other sizes, in
        other records or sent to a served model, then show what those of that size would.
        """
        if self.video.resize_px is not None:
            return self
        # Unchecked: a crop may be larger than frames of records, which are then enlarged.
        video = self.video.model_copy(update={'resize_px': media.stored_side_px})
        return self.model_copy(update={'video': video})

    @property
    def num_tokens(self) -> dict[str, int]:
        """Tokens of a clip by modality."""
        return {m: self.inputs(m).num_tokens for m in self.modalities}

    @pydantic.field_validator('modalities')
    @classmethod
    def _in_canonical_order(cls, modalities: tuple[Modality, ...]) -> tuple[Modality, ...]:
        if not modalities or len(set(modalities)) != len(modalities):
            raise ValueError(f'modalities must be one or both of {MODALITIES}, got {modalities}')
        return tuple(m for m in MODALITIES if m in modalities)


class PretrainConfig(TrainingConfig):
    """An audiovisual masked autoencoder and its training (Sec. 3, Tables 20 and 21)."""

    encoder: PretrainFusion = Mid()
    decoder: DecoderSpec
    masking: MaskingSpec = MaskingSpec()
    modality_tokens: bool = False  # a learned vector on all tokens of a modality
    objective: ObjectiveSpec = JointReconstruction()
    mean_over_patch: bool = True  # of the squared error; Eq. 1 as printed sums
    standardise_targets: bool = False  # each patch by its own mean and deviation
    video_weight: NotNegative = 0.5  # of a modality's loss in the sum
    audio_weight: NotNegative = 0.5
    optimizer: OptimizerSpec = Adam()

    def loss_weight(self, modality: str) -> float:
        return {VIDEO: self.video_weight, AUDIO: self.audio_weight}[modality]

    @property
    def num_visible_tokens(self) -> dict[str, int]:
        """Tokens that the encoder sees, by modality."""
        hidden: dict[str, int] = {
            m: self.masking.num_masked(m, self.inputs(m)) for m in self.modalities
        }
        return {m: n - hidden[m] for m, n in self.num_tokens.items()}

    @property
    def reconstructed(self) -> tuple[Modality, ...]:
        """The modalities that have a loss."""
        return self.objective.reconstructed(self.modalities)

    @pydantic.model_validator(mode='after')
    def _legal(self) -> Self:
        self.encoder.check(self.backbone.num_layers)
        if self.augment.mixup:
            raise ValueError('augment.mixup mixes labels, and pretraining has none; leave it unset')
        separate = self.encoder.kind == self.decoder.fusion.kind == Separate().kind
        if separate and len(self.modalities) > 1:
            raise ValueError(
                'a separate encoder needs a decoder that couples the modalities, got '
                "encoder='separate', decoder='separate' (paper, Sec. 3.3)"
            )
        grids = {m: self.inputs(m) for m in self.modalities}
        for modality, grid in grids.items():
            if not self.masking.num_masked(modality, grid):
                raise ValueError(
                    f'{modality} masking must hide at least one of {grid.num_tokens} tokens '
                    f'(paper, Eq. 1), got {self.masking}'
                )
        self.objective.check(
            self.encoder, self.decoder.fusion, self.num_tokens, self.num_visible_tokens
        )
        if self.objective.contrast and self.schedule.batch_size < 2:
            raise ValueError('the contrastive objective needs schedule.batch_size > 1, got 1')
        if not any(self.loss_weight(m) for m in self.reconstructed):
            raise ValueError(
                f'the loss of {" or ".join(self.reconstructed)} needs a weight above zero, got '
                f'video_weight={self.video_weight}, audio_weight={self.audio_weight} '
                '(paper, Sec. 3.4)'
            )
        return self


class FinetuneConfig(TrainingConfig):
    """A classifier warm-started from a pretrained encoder (Sec. 4.1, Tables 22 to 24)."""

    fusion: FinetuneFusion = Bottleneck()
    optimizer: OptimizerSpec = SGD()
    layerwise_decay: Annotated[float, pydantic.Field(gt=0.0, le=1.0)] = 0.75
    clip_norm: Positive | None = 1.0
    loss: Literal['softmax', 'sigmoid'] = 'softmax'  # one right class, or any number
    label_smoothing: Ratio = 0.3
    stochastic_depth: Ratio = 0.3
    segments: Count = 1  # equal parts of the input, each classified by itself (appendix A.1)
    freeze_encoder: bool = False  # a linear probe: the head alone is trained (Table 18)
    num_views: Count = 4  # windows of a clip whose logits are averaged in testing
    num_crops: Literal[1, 3] = 1  # of each window: the centre, or three along the longer side
    norm_after_pooling: bool = False  # the last norm on the mean of the tokens, not on each

    @pydantic.model_validator(mode='after')
    def _legal(self) -> Self:
        self.fusion.check(self.backbone.num_layers)
        if self.norm_after_pooling and isinstance(self.fusion, Bottleneck):
            raise ValueError(
                "norm_after_pooling needs a fusion of one stack per token, not MBT's: got "
                "fusion='bottleneck'"
            )
        if self.segments > 1 and self.augment.time_shift:
            raise ValueError(
                'augment.time_shift moves the sound away from the labels of its segments, got '
                f'segments={self.segments} (paper, appendix A.1); set it to false'
            )
        if self.num_crops > 1 and VIDEO not in self.modalities:
            raise ValueError(
                f'num_crops counts crops of the video, got num_crops={self.num_crops}, '
                f'modalities={self.modalities}'
            )
        return self
