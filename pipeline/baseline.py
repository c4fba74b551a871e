"""Which earlier model a candidate is compared with."""

import ml_metadata as mlmd
from tfx import types
from tfx.dsl.components.common import resolver
from tfx.dsl.input_resolution.strategies import latest_blessed_model_strategy
from tfx.utils import path_utils

from avmae_tf.training.export import describe_served
from avmae_tf.training.identity import identity
from components.evaluation.analysis import check_classes, check_size

CANDIDATE = 'candidate'


class LatestOtherBlessedModel(resolver.ResolverStrategy):
    """The latest blessed model that is not the candidate itself, and can be measured on its clips.

    TFX's own strategy would take a candidate that was blessed in the last run as its own
    baseline: an unchanged run would then evaluate again and push a second copy. An earlier export
    of the same model is the candidate itself, too. Models of other classes cannot be compared.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """The blessed model among those in ML Metadata that are not the candidate."""
        candidates = input_dict[CANDIDATE]
        others = [
            model
            for model in input_dict['model']
            if all(_is_comparable(model, candidate) for candidate in candidates)
        ]
        found = latest_blessed_model_strategy.LatestBlessedModelStrategy().resolve_artifacts(
            store, {'model': others, 'model_blessing': input_dict['model_blessing']}
        )
        # Without every key that was asked for TFX goes on as if there were no baseline.
        return {**found, CANDIDATE: candidates}


def _is_comparable(model: types.Artifact, candidate: types.Artifact) -> bool:
    """Whether `model` is another classifier that can be measured on the candidate's clips."""
    theirs, ours = (path_utils.serving_model_dir(a.uri) for a in (model, candidate))
    what = identity(theirs)
    if model.id == candidate.id or what in (None, identity(ours)):  # None: it is a pretrained one
        return False
    described, wanted = describe_served(theirs), describe_served(ours)
    try:
        check_classes(wanted.heads, described.heads, ours)
        check_size(wanted.media, described.media, ours, theirs)
    except ValueError:
        return False
    return True
