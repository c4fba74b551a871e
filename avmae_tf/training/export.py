"""A finetuned classifier as a SavedModel that TF Serving runs, and the versions in a folder."""

import os
import re

import tensorflow as tf

from avmae_tf.data.locks import held
from avmae_tf.storage import exists, read_settings, write_text
from avmae_tf.training.checkpoints import (
    MODEL_FILE,
    ModelDescription,
    describe_model,
    load_model,
)
from avmae_tf.training.identity import read_saved_model
from avmae_tf.training.origin import write_origin
from avmae_tf.training.publish import appearing, clear_leftovers, is_complete, versions_in
from avmae_tf.training.serving import RECORD_SIGNATURE, ServedClassifier
from avmae_tf.training.warmup import write_warmup

DESCRIPTION_FILE = f'assets.extra/{MODEL_FILE}'  # what it was exported from


def export_saved_model(model_folder: str, out: str, name: str = 'avmae') -> None:
    """Writes the classifier of `model_folder` as a SavedModel, whole or not at all."""
    description = describe_model(model_folder)
    if not description.finetune:
        raise ValueError(f'{model_folder}: a pretrained encoder has no classes; finetune it first')
    with held(out, beside=True):
        if exists(out):
            raise ValueError(f'{out}: exists already; give another folder, or delete this one')
        above, itself = os.path.split(out.rstrip('/'))
        clear_leftovers(above or '.', re.escape(itself))
        served = ServedClassifier(load_model(model_folder), description.heads, description.media)
        with appearing(out) as temporary:
            tf.saved_model.save(served, temporary, signatures=served.functions)
            write_warmup(temporary, name)
            write_text(os.path.join(temporary, DESCRIPTION_FILE), description.to_json())
            write_origin(temporary)


def latest_version(folder: str) -> str:
    """`folder` itself if it is a SavedModel, else its highest-numbered version.

    Raises:
        ValueError: there is neither.
    """
    if is_complete(folder):
        return folder
    versions = versions_in(folder)
    if not versions:
        raise ValueError(f'{folder}: neither a SavedModel nor a folder of numbered versions')
    return versions[-1]


def describe_served(folder: str) -> ModelDescription:
    """What the SavedModel in `folder` was exported from: settings, heads, how clips are decoded."""
    path = os.path.join(folder, DESCRIPTION_FILE)
    if not exists(path):
        raise ValueError(
            f'{folder}: not a SavedModel of `avmae export` ({DESCRIPTION_FILE} is missing)'
        )
    return read_settings(path, ModelDescription, 'export the model again')


def record_outputs(folder: str) -> set[str]:
    """Names of what the SavedModel in `folder` answers to records."""
    graph = read_saved_model(folder).meta_graphs[0]
    return set(graph.signature_def[RECORD_SIGNATURE].outputs)
