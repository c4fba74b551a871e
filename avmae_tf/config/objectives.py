"""What pretraining reconstructs, and from what (Sec. 3.4); what it contrasts beside that."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import pydantic

from avmae_tf.config.base import AUDIO, MODALITIES, VIDEO, Kind, Modality, Positive, any_of
from avmae_tf.config.model import Fusion

Counts = Mapping[str, int]  # of tokens, by modality


def other_modality(modality: str) -> str:
    """Audio for video, video for audio."""
    return AUDIO if modality == VIDEO else VIDEO


class Objective(Kind):
    """What is decoded from whose visible tokens, and which of it has a loss.

    `models.sequences.build_sequences` lays the tokens out; all else that depends on the kind of
    objective is asked here.
    """

    @property
    def parts(self) -> tuple[tuple['Objective', float], ...]:
        """The objectives that this one consists of, each with its share of the loss."""
        return ((self, 1.0),)

    @property
    def contrast(self) -> 'Contrastive | None':
        """What is added to the loss of the parts, if anything: sound against picture."""
        return None

    def reconstructed(self, modalities: tuple[Modality, ...]) -> tuple[Modality, ...]:
        """The modalities that have a loss."""
        return modalities

    def sources(self, modalities: tuple[Modality, ...], decoder: Fusion) -> dict[str, str]:
        """Whose visible tokens each modality that is decoded is decoded from."""
        raise NotImplementedError

    def check(
        self, encoder: Fusion, decoder: Fusion, num_tokens: Counts, num_visible: Counts
    ) -> None:
        """Raises ValueError where tokens in such numbers, by modality, cannot be reconstructed."""


class JointReconstruction(Objective):
    """Each modality from its own visible tokens."""

    kind: Literal['joint'] = 'joint'

    def sources(self, modalities: tuple[Modality, ...], decoder: Fusion) -> dict[str, str]:
        return {m: m for m in modalities}


class Inpainting(Objective):
    """A modality from the encoded visible tokens of the other one (Fig. 3)."""

    kind: Literal['inpainting'] = 'inpainting'
    direction: Literal['video_from_audio', 'audio_from_video', 'both'] = 'both'

    _RECONSTRUCTED: ClassVar[dict[str, tuple[Modality, ...]]] = {
        'video_from_audio': (VIDEO,),
        'audio_from_video': (AUDIO,),
        'both': MODALITIES,
    }

    def reconstructed(self, modalities: tuple[Modality, ...]) -> tuple[Modality, ...]:
        return self._RECONSTRUCTED[self.direction]

    def sources(self, modalities: tuple[Modality, ...], decoder: Fusion) -> dict[str, str]:
        """A decoder that couples the modalities decodes both, whatever the direction."""
        decoded = modalities if decoder.couples else self.reconstructed(modalities)
        return {m: other_modality(m) for m in decoded}

    def check(
        self, encoder: Fusion, decoder: Fusion, num_tokens: Counts, num_visible: Counts
    ) -> None:
        """Both modalities, an encoder that mixes them, and room for mask tokens."""
        if len(num_tokens) < len(MODALITIES):
            raise ValueError(
                f'inpainting needs both modalities, got modalities={tuple(num_tokens)} '
                '(paper, Sec. 3.4)'
            )
        if not encoder.couples:
            raise ValueError(
                "inpainting needs an encoder that mixes the modalities, 'early' or 'mid', got "
                f'encoder={encoder.kind!r} (paper, Sec. 3.4)'
            )
        for m, source in self.sources(MODALITIES, decoder).items():
            if num_visible[source] >= num_tokens[m]:
                raise ValueError(
                    f'inpainting {m} needs fewer visible {source} tokens than {m} tokens, '
                    f'got {num_visible[source]} of {num_tokens[m]}; mask more of the {source} '
                    '(paper, Sec. 3.4)'
                )


class Mixture(Objective):
    """(1 - weight) times joint reconstruction plus weight times inpainting (Sec. 5)."""

    kind: Literal['mixture'] = 'mixture'
    inpainting: Inpainting = Inpainting()
    weight: Annotated[float, pydantic.Field(gt=0.0, lt=1.0)] = 0.5

    @property
    def parts(self) -> tuple[tuple[Objective, float], ...]:
        return ((self.inpainting, self.weight), (JointReconstruction(), 1.0 - self.weight))

    def check(
        self, encoder: Fusion, decoder: Fusion, num_tokens: Counts, num_visible: Counts
    ) -> None:
        for part, _ in self.parts:
            part.check(encoder, decoder, num_tokens, num_visible)


def _reconstructs(member: type[Objective]) -> bool:
    return not issubclass(member, Contrastive)


class Contrastive(Objective):
    """A reconstruction, and beside it sound and picture of a clip are to find each other.

    `weight` times the symmetric InfoNCE between the means of the visible tokens of each modality,
    as in CAV-MAE, whose weight and temperature these are. A modality is encoded as if the other
    were not there, with any encoder: what had seen the other would find it without learning what
    the two share, and a modality alone is also what finetuning on one of them starts from.
    Separate and shared encoders give that anyway, mid fusion runs its joint blocks again on each,
    early fusion all of its blocks.
    """

    kind: Literal['contrastive'] = 'contrastive'
    reconstruction: Annotated[
        pydantic.SerializeAsAny[Objective], any_of(Objective, _reconstructs)
    ] = JointReconstruction()
    weight: Positive = 0.01
    temperature: Positive = 0.05

    @property
    def parts(self) -> tuple[tuple[Objective, float], ...]:
        return self.reconstruction.parts

    @property
    def contrast(self) -> 'Contrastive':
        return self

    def reconstructed(self, modalities: tuple[Modality, ...]) -> tuple[Modality, ...]:
        return self.reconstruction.reconstructed(modalities)

    def check(
        self, encoder: Fusion, decoder: Fusion, num_tokens: Counts, num_visible: Counts
    ) -> None:
        """Both modalities, and what the reconstruction asks for."""
        if len(num_tokens) < len(MODALITIES):
            raise ValueError(
                'the contrastive objective needs both modalities, got '
                f'modalities={tuple(num_tokens)}: there is nothing to find the other by'
            )
        self.reconstruction.check(encoder, decoder, num_tokens, num_visible)


ObjectiveSpec = Annotated[pydantic.SerializeAsAny[Objective], any_of(Objective)]
