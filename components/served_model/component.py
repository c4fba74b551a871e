"""What a candidate is compared with: the served model, found by one component, kept by another."""

from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    OutputDict,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Model
from tfx.utils import io_utils, path_utils

from avmae_tf.training.export import describe_served
from avmae_tf.training.identity import identity
from avmae_tf.training.publish import versions_in
from components.evaluation.analysis import check_classes, check_size


@component
def ServedModel(
    candidate: InputArtifact[Model],
    serving: Parameter[str],
) -> OutputDict(version=str):  # type: ignore[valid-type]
    """Looks up the newest version served; never cached, since others may push and take back.

    Args:
        candidate: The SavedModel that asks to be the next one.
        serving: Folder of the numbered versions.
    """
    return {'version': served_before(path_utils.serving_model_dir(candidate.uri), serving)}


def served_before(candidate: str, serving: str) -> str:
    """The newest version in `serving` that the SavedModel `candidate` can be compared with.

    It is another model, with the same classes; '' if there is none.
    """
    ours, wanted = identity(candidate), describe_served(candidate)
    for version in reversed(versions_in(serving)):
        if identity(version) == ours:
            continue
        try:
            described = describe_served(version)
            check_classes(wanted.heads, described.heads, candidate)
            check_size(wanted.media, described.media, candidate, version)
        except ValueError:
            continue
        return version
    return ''


@component
def Baseline(version: Parameter[str], model: OutputArtifact[Model]) -> None:
    """Keeps a copy of the version that a candidate is compared with; nothing if there is none.

    It is cached: as long as the same version is served, it is the same artifact, and a candidate
    that has not changed either is not measured again.

    Args:
        version: What ServedModel returns.
        model: The copy, `path_utils.serving_model_dir(model.uri)`.
    """
    if version:
        io_utils.copy_dir(version, path_utils.serving_model_dir(model.uri))
