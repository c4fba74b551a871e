"""What a classifier can start from, as far as settings tell: known before anything is trained."""

from collections.abc import Sequence

from avmae_tf.config.model import Fusion
from avmae_tf.config.training import FinetuneConfig, PretrainConfig, TrainingConfig

MAX_MODELS = 2
Origins = dict[str, tuple[int, str]]  # by modality: number of the model, and modality of it


def _fusion(config: TrainingConfig) -> Fusion:
    """How modalities meet in the encoder of an autoencoder or of a classifier."""
    if isinstance(config, PretrainConfig):
        return config.encoder
    assert isinstance(config, FinetuneConfig)
    return config.fusion


def origins(modalities: Sequence[str], sources: Sequence[TrainingConfig]) -> Origins:
    """Which model each modality starts from, and from which modality of it.

    The first that knows the modality (Table 10); where none does, the first of all, whose blocks
    of its first modality are taken (Table 3).
    """
    found: Origins = {}
    for modality in modalities:
        knowing = (i for i, source in enumerate(sources) if modality in source.modalities)
        number = next(knowing, None)
        found[modality] = (0, sources[0].modalities[0]) if number is None else (number, modality)
    return found


def check_number(names: Sequence[str]) -> None:
    """Raises ValueError where there are not one or two models, called `names`."""
    if not 1 <= len(names) <= MAX_MODELS:
        raise ValueError(
            f'a classifier starts from one model, or from one of video and one of audio, got '
            f'{len(names)}: {", ".join(names)}'
        )


def check_start(
    config: FinetuneConfig, sources: Sequence[TrainingConfig], names: Sequence[str]
) -> None:
    """Raises ValueError where a classifier of `config` cannot start from models of these settings.

    `names` are what messages call the models: their folders.
    """
    check_number(names)
    taken = origins(config.modalities, sources)
    _check_modalities(config, sources, names, taken)
    for number, (source, name) in enumerate(zip(sources, names, strict=True)):
        _check_backbone(config, source, name)
        for modality, origin in taken.items():
            if origin == (number, modality):
                _check_patch(config, source, name, modality)
    _check_ties(config, sources, names, taken)


def _check_modalities(
    config: FinetuneConfig, sources: Sequence[TrainingConfig], names: Sequence[str], taken: Origins
) -> None:
    """Every model is of use, and a classifier is not taken for what it does not know."""
    for number, name in enumerate(names):
        if number not in {origin for origin, _ in taken.values()}:
            raise ValueError(
                f'{name}: nothing is left to take from it, {names[0]} has '
                f'{" and ".join(config.modalities)}; give only that one, or one of each modality'
            )
    for modality, (number, origin) in taken.items():
        if origin != modality and isinstance(sources[number], FinetuneConfig):
            raise ValueError(
                f'{names[number]}: a classifier of {" and ".join(sources[number].modalities)} '
                f'knows nothing of {modality}, which the new one has; give a model of {modality} '
                f'as well, or finetune with modalities={list(sources[number].modalities)}'
            )


def _check_backbone(config: FinetuneConfig, source: TrainingConfig, name: str) -> None:
    """Heads do not show in shapes: the numbers of both backbones must be equal."""
    ours, theirs = config.backbone.model_dump(), source.backbone.model_dump()
    for field in ours:
        if ours[field] != theirs[field]:
            raise ValueError(
                f'{name}: the backbone.{field} is {theirs[field]}, that of the classifier '
                f'{ours[field]}; give both the same backbone'
            )


def _check_patch(config: FinetuneConfig, source: TrainingConfig, name: str, modality: str) -> None:
    ours, theirs = (x.inputs(modality).patch_shape[:-1] for x in (config, source))
    if ours != theirs:
        raise ValueError(
            f'{name}: the {modality}.patch is {theirs}, that of the classifier {ours}; give both '
            'the same patch'
        )


def _check_ties(
    config: FinetuneConfig, sources: Sequence[TrainingConfig], names: Sequence[str], taken: Origins
) -> None:
    """A block that serves both modalities starts from one block, not from two."""
    depth = config.backbone.num_layers
    ours = _fusion(config).tied_blocks(depth)
    if len(config.modalities) == 1 or not ours or len(set(taken.values())) == 1:
        return
    numbers = {number for number, _ in taken.values()}
    theirs = _fusion(sources[min(numbers)]).tied_blocks(depth)
    if theirs is None:  # of a kind that does not say
        return
    untied = ours if len(numbers) > 1 else [i for i in ours if i not in theirs]
    if untied:
        raise ValueError(
            f'{names[min(numbers)]}: block {untied[0]} of the classifier serves both modalities, '
            'but the pretrained encoder has one for each; finetune with fusion=bottleneck or with '
            'the fusion of the encoder (paper, Sec. 4.1)'
        )
