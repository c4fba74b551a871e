"""Which earlier model a candidate is compared with."""

import ml_metadata as mlmd
from tfx import types
from tfx.dsl.components.common import resolver
from tfx.dsl.input_resolution.strategies import latest_blessed_model_strategy
from tfx.utils import path_utils

from avmae_tf.training.identity import identity

CANDIDATE = 'candidate'


class LatestOtherBlessedModel(resolver.ResolverStrategy):
    """The latest blessed model that is not the candidate itself.

    TFX's own strategy would take a candidate that was blessed in the last run as its own
    baseline: an unchanged run would then evaluate again and push a second copy. An earlier export
    of the same model is the candidate itself, too.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """The blessed model among those in ML Metadata that are not the candidate."""
        candidates = input_dict[CANDIDATE]
        ids = {artifact.id for artifact in candidates}
        same = {_identity(artifact) for artifact in candidates}
        others = [
            artifact
            for artifact in input_dict['model']
            if artifact.id not in ids and _identity(artifact) not in same
        ]
        found = latest_blessed_model_strategy.LatestBlessedModelStrategy().resolve_artifacts(
            store, {'model': others, 'model_blessing': input_dict['model_blessing']}
        )
        # Of every key that was asked for, or TFX goes on as if there were no baseline.
        return {**found, CANDIDATE: candidates}


def _identity(artifact: types.Artifact) -> str:
    """What a SavedModel computes, as a hash; the address of what is none, as a pretrained model."""
    return identity(path_utils.serving_model_dir(artifact.uri)) or artifact.uri
