"""The authors' checkpoint files as parameters of our models."""

import numpy as np

from avmae_tf.interop.msgpack import parameters, read_checkpoint
from avmae_tf.interop.scenic import HEAD, load_parameters
from avmae_tf.models.avmae import AVMAE
from avmae_tf.models.classifier import Classifier

Parameters = dict[str, np.ndarray]


def read_parameters(path: str) -> Parameters:
    """The model's parameters, 'a/b/c' to array, in a checkpoint of either trainer."""
    return parameters(read_checkpoint(path), path)


def is_pretraining(arrays: Parameters) -> bool:
    """Whether they belong to an autoencoder; a classifier has no mask tokens."""
    return any(name.startswith('mask_token') for name in arrays)


def num_classes(arrays: Parameters, path: str) -> int:
    """The outputs of a classifier; raises ValueError if there is no head."""
    for head in (HEAD, 'output_projection'):
        if f'{head}/bias' in arrays:
            return len(arrays[f'{head}/bias'])
    raise ValueError(f'{path}: has neither mask tokens nor an output projection; is it a model?')


def import_parameters(model: AVMAE | Classifier, arrays: Parameters, path: str) -> None:
    """Gives `model` the parameters of the file `path`; every one must fit."""
    try:
        load_parameters(model, arrays)
    except ValueError as error:
        raise ValueError(f'{path}: {error}; give the configuration it was trained with') from error
