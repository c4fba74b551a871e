"""How training clips are varied (appendix B); the default varies nothing, as in pretraining."""

from typing import Annotated, Any

import pydantic
from typing_extensions import Self

from avmae_tf.config.base import NUM_MEL_BINS, Count, Positive, Ratio, Spec

Probability = Annotated[float, pydantic.Field(ge=0.0, le=1.0)]


class ColourJitter(Spec):
    """Random colours, the same for all frames of a clip; 1.0 is the range of a pixel."""

    probability: Probability = 0.8
    drop_probability: Probability = 0.1  # of a clip in grey, drawn independently
    brightness: Ratio = 0.125  # largest sum added
    contrast: Ratio = 0.4  # largest change of the factor, around 1
    saturation: Ratio = 0.4  # likewise
    hue: Annotated[float, pydantic.Field(ge=0.0, le=0.5)] = 0.2  # largest turn


class SpecAugment(Spec):
    """Bands and stretches of the spectrogram set to zero [59]; widths are the largest drawn."""

    frequency_masks: Annotated[int, pydantic.Field(ge=0)]
    frequency_width: Annotated[int, pydantic.Field(ge=1, le=NUM_MEL_BINS)]  # mel bins
    time_masks: Annotated[int, pydantic.Field(ge=0)]
    time_width: Count  # spectrogram frames


class Mixup(Spec):
    """Clips of a batch mixed with those of the batch reversed, weight from Beta(alpha, alpha)."""

    alpha: Annotated[float, pydantic.Field(gt=0.0, le=2.0)] = 0.5
    per_modality: bool = False  # a weight for each modality, and labels of its own


class AugmentSpec(Spec):
    """Random changes of a training clip; or a name of them ('none', 'vggsound', 'audioset')."""

    random_crop: bool = False  # the centre otherwise
    random_flip: bool = False  # left and right, half of the clips
    scale_jitter: tuple[Positive, Positive] | None = None  # factors, height and width each
    colour: ColourJitter | None = None
    time_shift: bool = False  # the spectrogram goes round by a random offset
    spec_augment: SpecAugment | None = None
    mixup: Mixup | None = None

    @pydantic.model_validator(mode='before')
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in AUGMENTATIONS:
                raise ValueError(f'augment must be one of {sorted(AUGMENTATIONS)}, got {value!r}')
            return AUGMENTATIONS[value]
        return value

    @pydantic.model_validator(mode='after')
    def _in_order(self) -> Self:
        if self.scale_jitter and self.scale_jitter[0] > self.scale_jitter[1]:
            raise ValueError(f'scale_jitter must go up, got {self.scale_jitter}')
        return self


_MBT: dict[str, Any] = {  # finetuning, as released
    'random_crop': True,
    'random_flip': True,
    'scale_jitter': (0.9, 1.33),
    'colour': ColourJitter(),
    'time_shift': True,
    'mixup': Mixup(per_modality=True),
}
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    'none': {},
    'vggsound': {
        **_MBT,
        'spec_augment': SpecAugment(
            frequency_masks=1, frequency_width=48, time_masks=4, time_width=48
        ),
    },
    'audioset': {
        **_MBT,
        'spec_augment': SpecAugment(
            frequency_masks=2, frequency_width=36, time_masks=4, time_width=48
        ),
    },
}
