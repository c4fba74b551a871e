"""StartModels: looks at the models that a classifier starts from."""

import json

from tfx.dsl.component.experimental.annotations import OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component

from avmae_tf.config import FinetuneConfig
from avmae_tf.training import start as models


@component
def StartModels(start: Parameter[str], finetune: Parameter[str]) -> OutputDict(fingerprint=str):  # type: ignore[valid-type]
    """A hash of the models, which makes a changed one train anew; never cached.

    Args:
        start: Their paths, as a JSON list.
        finetune: The FinetuneConfig, as JSON, of the classifier.

    Raises:
        ValueError: one is no model, or the classifier cannot start from it.
    """
    try:
        found = models.StartModels(FinetuneConfig.from_json(finetune), tuple(json.loads(start)))
        return {'fingerprint': found.fingerprint}
    except ValueError as error:
        raise ValueError(f'start: {error}') from None
