"""Which earlier model a candidate is compared with."""

from tfx.dsl.components.common import resolver
from tfx.dsl.input_resolution.strategies import latest_blessed_model_strategy

CANDIDATE = 'candidate'


class LatestOtherBlessedModel(resolver.ResolverStrategy):
    """The latest blessed model that is not the candidate itself.

    TFX's own strategy would take a candidate that was blessed in the last run as its own
    baseline: an unchanged run would then evaluate again and push a second copy.
    """

    def resolve_artifacts(self, store, input_dict):
        candidates = {artifact.id for artifact in input_dict.pop(CANDIDATE, [])}
        input_dict['model'] = [a for a in input_dict['model'] if a.id not in candidates]
        strategy = latest_blessed_model_strategy.LatestBlessedModelStrategy()
        return strategy.resolve_artifacts(store, input_dict)
