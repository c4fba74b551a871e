"""What makes two exports the same model: what they compute, not when they were written.

TensorFlow's fingerprint tells apart exports of the same weights (its checksum is of the bytes of
one export) and takes for the same what differs within a function, as the names of classes do (its
hash of the graph leaves functions out). Warm-up requests and `assets.extra/model.json` do not
count: what of it answers depend on, classes and sizes among them, is in the graph.
"""

import collections
import hashlib
import os
import re

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from avmae_tf.storage import gfile, know_addresses
from avmae_tf.training.damage import reading

SAVED_MODEL_FILE = 'saved_model.pb'
# What TensorFlow numbers anew for each export, and answers do not depend on.
_NUMBERED = ('_gradient_op_type', '_user_specified_name')
_GRADIENT = 'internal_grad_fn'  # functions that only training on would call


def read_saved_model(folder: str) -> saved_model_pb2.SavedModel:
    """Graphs and signatures of a SavedModel, without its weights.

    Raises:
        ValueError: they are damaged or not there.
    """
    path = os.path.join(folder, SAVED_MODEL_FILE)
    with reading(path, 'export the model again'), gfile(path).GFile(path, 'rb') as f:
        return saved_model_pb2.SavedModel.FromString(f.read())


def identity(folder: str) -> str | None:
    """A hash of graph, signatures, objects and weights of a SavedModel; None where it has none.

    Equal for two exports of the same model, by one process or by two.
    """
    try:
        know_addresses(folder)
        print_ = tf.saved_model.experimental.read_fingerprint(folder)
    except (FileNotFoundError, RuntimeError):
        return None
    hashes = print_.signature_def_hash, print_.saved_object_graph_hash, print_.checkpoint_hash
    digest = hashlib.sha256(repr(hashes).encode())
    for meta_graph in read_saved_model(folder).meta_graphs:
        for part in _canonical(meta_graph.graph_def):
            digest.update(part)
    return digest.hexdigest()


def _canonical(graph) -> list[bytes]:
    """Hashes of the graph's functions and of its own nodes, whatever its functions are numbered."""
    functions = [f for f in graph.library.function if _GRADIENT not in f.signature.name]
    names = collections.defaultdict(list)  # by their number
    for function in functions:
        names[function.signature.name.rpartition('_')[-1]].append(function.signature.name)
        for attributes in function.arg_attr.values():
            _strip(attributes.attr)
        for node in function.node_def:
            _strip(node.attr)

    def without_number(found):
        ends = any(found.string.endswith(name, 0, found.end()) for name in names[found[1]])
        return '' if ends else found[0]

    texts = [str(function) for function in functions]
    texts += [''.join(map(str, graph.node))]
    return sorted(
        hashlib.sha256(re.sub(r'_(\d+)', without_number, text).encode()).digest() for text in texts
    )


def _strip(attributes):
    for name in _NUMBERED:
        attributes.pop(name, None)
