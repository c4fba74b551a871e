"""What pretraining reconstructs, and from what (Sec. 3.4)."""

from typing import Annotated, Literal

import pydantic

from avmae_tf.config.base import AUDIO, MODALITIES, VIDEO, Modality, Spec, one_of
from avmae_tf.config.model import Early, Mid

COUPLING = (Early, Mid)  # fusions after which tokens of a modality know of the other one


class JointReconstruction(Spec):
    """Each modality from its own visible tokens."""

    kind: Literal['joint'] = 'joint'


class Inpainting(Spec):
    """A modality from the encoded visible tokens of the other one (Fig. 3)."""

    kind: Literal['inpainting'] = 'inpainting'
    direction: Literal['video_from_audio', 'audio_from_video', 'both'] = 'both'

    @property
    def reconstructed(self) -> tuple[Modality, ...]:
        """The modalities that are inpainted."""
        return {
            'video_from_audio': (VIDEO,),
            'audio_from_video': (AUDIO,),
            'both': MODALITIES,
        }[self.direction]


class Mixture(Spec):
    """(1 - weight) times joint reconstruction plus weight times inpainting (Sec. 5)."""

    kind: Literal['mixture'] = 'mixture'
    inpainting: Inpainting = Inpainting()
    weight: Annotated[float, pydantic.Field(gt=0.0, lt=1.0)] = 0.5


ObjectiveSpec = one_of(JointReconstruction, Inpainting, Mixture)


def other_modality(modality: str) -> str:
    """Audio for video, video for audio."""
    return AUDIO if modality == VIDEO else VIDEO


def check_inpainting(inpainting: Inpainting, encoder, decoder, num_tokens, num_visible):
    """Inpainting needs both modalities, an encoder that mixes them, and room for mask tokens.

    `num_tokens` and `num_visible` map a modality to numbers; a decoder that couples the
    modalities decodes the sequences of both, whatever the direction.
    """
    if len(num_tokens) < len(MODALITIES):
        raise ValueError(
            f'inpainting needs both modalities, got modalities={tuple(num_tokens)} '
            '(paper, Sec. 3.4)'
        )
    if not isinstance(encoder, COUPLING):
        raise ValueError(
            "inpainting needs an encoder that mixes the modalities, 'early' or 'mid', got "
            f'encoder={encoder.kind!r} (paper, Sec. 3.4)'
        )
    decoded = MODALITIES if isinstance(decoder, COUPLING) else inpainting.reconstructed
    for modality in decoded:
        other = other_modality(modality)
        if num_visible[other] >= num_tokens[modality]:
            raise ValueError(
                f'inpainting {modality} needs fewer visible {other} tokens than {modality} tokens, '
                f'got {num_visible[other]} of {num_tokens[modality]}; mask more of the {other} '
                '(paper, Sec. 3.4)'
            )
