"""What people do with this package, as functions: from videos to predictions.

The `avmae` command is these functions with options. TensorFlow and Beam are imported when a
function that needs them is called, so that importing this module costs nothing.

Settings are given as objects of `avmae_tf.config` or as dicts of their fields. A `recipe` is also
the name of one, or a dict {'recipe': name, field: value} that changes some of its settings.

Functions are silent: `progress(done, total, **figures)` and `say(line)` are called with what a user
would like to see. Work that was killed goes on when the same function is called again. A ValueError
names what is wrong with an argument and what to do; `avmae_tf.console.Failed` is a run that failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from avmae_tf.config import (
    FINETUNE_RECIPES,
    PRETRAIN_RECIPES,
    ClipLimits,
    FinetuneConfig,
    MediaSpec,
    PretrainConfig,
    RunSpec,
    resolve_recipe,
)
from avmae_tf.config.splits import EVAL

if TYPE_CHECKING:
    from avmae_tf.models.avmae import AVMAE
    from avmae_tf.models.classifier import Classifier
    from avmae_tf.predictor import Predictor
    from avmae_tf.training.runs import Trained
    from beam_jobs.manifest_report import ManifestReport
    from beam_jobs.summary import Summary
    from components.evaluation.analysis import Evaluation

__all__ = [
    'Predictor',
    'convert',
    'evaluate',
    'export',
    'finetune',
    'load_model',
    'pretrain',
]


def silent(*_: object, **__: object) -> None:
    """The callback that does nothing."""


def __getattr__(name: str):
    if name == 'Predictor':
        from avmae_tf.predictor import Predictor

        return Predictor
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def convert(
    videos: str,
    out: str,
    *,
    annotations: str | None = None,
    dataset: str = 'folder',
    subset: str | None = None,
    media: MediaSpec | dict = MediaSpec(),
    allow_outside: bool = False,
    limits: ClipLimits | dict = ClipLimits(),
    num_shards: int | None = None,
    record_format: str = 'example',
    earlier: str | None = None,
    runner: str | None = None,
    beam_options: Sequence[str] = (),
    planned: Callable[[ManifestReport], None] = silent,
    progress: Callable[..., None] = silent,
) -> Summary:
    """Decodes videos into TFRecord files of examples: JPEG frames and 16 kHz sound.

    A clip that cannot be used is set aside with its reason, and the work goes on.

    Args:
        videos: Folder of videos; all below it count.
        out: Folder for the records.
        annotations: As published: a file, or the folder of several. Of a folder of videos a CSV
            with the columns path[,label][,start,end][,split]; start and end are seconds.
        dataset: Whose annotations they are, one of `beam_jobs.datasets.NAMES`.
        subset: File of video ids: train on these alone.
        media: What a record keeps of a clip: frames a second, pixels of the shorter side.
        allow_outside: Annotations may name files that are not below `videos`.
        limits: Seconds, CPU seconds and MB that decoding a clip may take.
        num_shards: Of the largest split; up to 256 MB each if None.
        record_format: 'example', or 'dmvr' for tf.train.SequenceExample.
        earlier: Folder of records of the same settings: what has not changed is taken over.
        runner: Beam's, with `beam_options`; threads of this machine if None.
        planned: Called once with what there is to convert, before the work.

    Returns:
        How many clips there are by split, and which were set aside and noted, with reasons.

    Raises:
        ValueError: annotations cannot be read, `out` holds other records, `earlier` those of other
            settings, or no clip is usable.
    """
    from beam_jobs.convert import carry_out
    from beam_jobs.datasets import build_manifest
    from beam_jobs.jobs import check_like
    from beam_jobs.manifest_report import report_of
    from beam_jobs.runners import pipeline_maker
    from beam_jobs.shards import plan_job

    make_pipeline = pipeline_maker(runner, beam_options)
    media = MediaSpec.model_validate(media)
    manifest = build_manifest(
        videos,
        annotations,
        name=dataset,
        subset=subset,
        required=media.required,
        allow_outside=allow_outside,
    )
    planned(report_of(manifest))
    job = plan_job(
        manifest,
        media,
        num_shards=num_shards,
        record_format=record_format,
        limits=ClipLimits.model_validate(limits),
    )
    if earlier:
        check_like(earlier, job)
    return carry_out(
        job,
        out,
        earlier=[earlier] if earlier else [],
        make_pipeline=make_pipeline,
        progress=progress,
    )


def pretrain(
    records: str,
    workdir: str,
    *,
    recipe: str | dict | PretrainConfig = 'mini',
    run: RunSpec | dict = RunSpec(),
    progress: Callable[..., None] = silent,
    say: Callable[[str], None] = silent,
) -> Trained:
    """Trains a masked autoencoder on the clips of the split 'train'; labels are not used.

    Args:
        records: Folder of records.
        workdir: Folder for checkpoints, logs, and at last the model.
        recipe: One of `avmae_tf.config.PRETRAIN_RECIPES`, with changes or not.
        run: How the run is kept and watched.

    Returns:
        Folder of the model, folder of TensorBoard's logs, and the losses of the split 'eval'.

    Raises:
        ValueError: a setting is illegal, `workdir` holds another run, or records are damaged.
        Failed: a loss or a weight is not finite (`avmae_tf.training.actions.Diverged`).
    """
    from avmae_tf.training import devices, runs

    devices.configure_cpu_devices()
    config = PretrainConfig.model_validate(resolve_recipe(recipe, PRETRAIN_RECIPES))
    training = runs.pretraining(records, config)
    return training.run(workdir, RunSpec.model_validate(run), progress=progress, say=say)


def finetune(
    records: str,
    workdir: str,
    *,
    start: str | Sequence[str] = (),
    recipe: str | dict | FinetuneConfig = 'mini',
    run: RunSpec | dict = RunSpec(),
    progress: Callable[..., None] = silent,
    say: Callable[[str], None] = silent,
) -> Trained:
    """Trains a classifier on the labelled clips of the split 'train'.

    Args:
        records: Folder of records.
        workdir: Folder for checkpoints, logs, and at last the model.
        start: Where it starts: the folder of a model of `pretrain` or `finetune`, an image ViT
            (augreg, .npz), two of them, each modality from the first that knows it, or nothing.
        recipe: One of `avmae_tf.config.FINETUNE_RECIPES`, with changes or not.
        run: How the run is kept and watched.

    Returns:
        Folder of the model, folder of TensorBoard's logs, loss and accuracies of the split 'eval'.

    Raises:
        ValueError: a setting is illegal, a start is no model or does not fit, the records have
            other labels than the recipe needs or are damaged, or `workdir` holds another run.
        Failed: a loss or a weight is not finite (`avmae_tf.training.actions.Diverged`).
    """
    from avmae_tf.training import devices, runs

    devices.configure_cpu_devices()
    config = FinetuneConfig.model_validate(resolve_recipe(recipe, FINETUNE_RECIPES))
    training = runs.finetuning(records, config, [start] if isinstance(start, str) else start)
    return training.run(workdir, RunSpec.model_validate(run), progress=progress, say=say)


def export(model: str, out: str, *, name: str = 'avmae') -> str:
    """Writes the classifier in the folder `model` as a SavedModel to `out`; returns `out`.

    Its signatures are described in docs/serving.md; `name` is what it will be served under.

    Raises:
        ValueError: `model` is no classifier or is damaged, or `out` exists.
    """
    from avmae_tf.training.export import export_saved_model

    export_saved_model(model, out, name)
    return out


def evaluate(model: str, records: str, out: str, *, split: str = EVAL) -> Evaluation:
    """Measures a SavedModel with TensorFlow Model Analysis, or what a pretrained model retrieves.

    Returns:
        The metrics by name, 0 to 1 but for d', `Undefined` where the clips do not define one; and
        how many clips were left out since they have no label, or lack a modality to retrieve by.

    Raises:
        ValueError: the records have other classes than the model, or are damaged; the model is a
            classifier that was not exported, or has one modality only.
    """
    from components.evaluation.retrieval import measure

    return measure(model, records, split, out)


def load_model(folder: str) -> AVMAE | Classifier:
    """The model of `pretrain` or `finetune` in a folder, as Keras layers with their weights.

    Raises:
        ValueError: there is none, or its weights are damaged or not finite.
    """
    from avmae_tf.training import checkpoints

    return checkpoints.load_model(folder)
