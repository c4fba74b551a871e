"""What lies in a folder that training or export wrote, read without loading a model."""

import math
import os

import tensorflow as tf

from avmae_tf.storage import exists, gfile
from avmae_tf.training.checkpoints import (
    RUN_FILE,
    WEIGHTS,
    RunFolder,
    describe_model,
    is_model,
)
from avmae_tf.training.damage import reading
from avmae_tf.training.export import DESCRIPTION_FILE, describe_served
from avmae_tf.training.identity import read_saved_model
from avmae_tf.training.origin import read_origin
from avmae_tf.training.summary import summarise
from avmae_tf.training.warmup import WARMUP_FILE

_VALUE, _SLOT = '/.ATTRIBUTES/VARIABLE_VALUE', '.OPTIMIZER_SLOT'


def is_run(path: str) -> bool:
    """Whether `path` is the folder of a run, or a folder or prefix of TensorFlow checkpoints."""
    return exists(os.path.join(path, RUN_FILE)) or bool(_checkpoint(path))


def _checkpoint(path: str) -> str | None:
    """The prefix of the last checkpoint in a folder, or `path` if that is a prefix."""
    return path if exists(f'{path}.index') else tf.train.latest_checkpoint(path)


def _bytes(prefix: str) -> int:
    files = gfile(prefix)
    return sum(files.stat(path).length for path in files.glob(f'{prefix}.*'))


def inspect_model(folder: str) -> dict:
    """The summary of a finished model, its classes by head, its media and its bytes."""
    description = describe_model(folder)
    classes = {head: list(names) for head, names in description.heads.items()}
    return {
        'kind': 'model',
        'bytes': _bytes(os.path.join(folder, WEIGHTS)),
        'media': description.media.model_dump(mode='json'),
        'labels': classes,
        **summarise(description.config, {h: len(c) for h, c in classes.items()}),
    }


def inspect_run(path: str) -> dict:
    """How far a run is and what its last checkpoint holds, with the summary of its model.

    A folder of checkpoints that no run wrote has no `run` and no summary.
    """
    path = path.rstrip('/')
    own = exists(os.path.join(path, RUN_FILE))
    run = RunFolder(path if own else os.path.dirname(path))
    prefix = _checkpoint(run.checkpoints if own else path)
    with reading(prefix, 'a run takes the one before'):
        shapes = tf.train.load_checkpoint(prefix).get_variable_to_shape_map() if prefix else {}
    sizes = {k: math.prod(shape) for k, shape in shapes.items() if k.startswith('model/')}
    found = {
        'kind': 'checkpoint',
        'checkpoint': prefix,
        'step': _step(prefix, shapes),
        'bytes': _bytes(prefix) if prefix else 0,
        'stored_parameters': sum(n for k, n in sizes.items() if _SLOT not in k),
        'stored_optimizer_values': sum(n for k, n in sizes.items() if _SLOT in k),
    }
    state = run.read()
    if state is None:
        return found
    about = {'finished': state.finished, 'records': state.dataset, 'initial': state.initial}
    found |= {'kind': 'run', 'run': about}
    if state.pretrain:
        return found | summarise(state.pretrain)
    heads = _heads(run, shapes)
    return found | summarise(state.finetune, heads) if heads else found


def _heads(run: RunFolder, shapes) -> dict[str, int]:
    """Classes by head of a run's classifier; of all heads together while it is not finished."""
    if is_model(run.model):
        return {head: len(names) for head, names in describe_model(run.model).heads.items()}
    bias = shapes.get(f'model/head/bias{_VALUE}')
    return {'all': bias[0]} if bias else {}


def _step(prefix: str | None, shapes) -> int:
    """The optimizer's step of a checkpoint, 0 where there is none."""
    for name in ('iter', '_iterations'):
        key = f'optimizer/{name}{_VALUE}'
        if key in shapes:
            return int(tf.train.load_checkpoint(prefix).get_tensor(key))
    return 0


def inspect_saved_model(folder: str) -> dict:
    """Signatures with shapes, classes by head, warm-up requests, media, origin of a SavedModel."""
    graph = read_saved_model(folder).meta_graphs[0]
    signatures = {
        name: {
            'inputs': {k: _spec(info) for k, info in sorted(signature.inputs.items())},
            'outputs': {k: _spec(info) for k, info in sorted(signature.outputs.items())},
        }
        for name, signature in sorted(graph.signature_def.items())
        if not name.startswith('__')
    }
    warmup = os.path.join(folder, WARMUP_FILE)
    ours = exists(os.path.join(folder, DESCRIPTION_FILE))
    description = describe_served(folder) if ours else None
    origin = read_origin(folder)
    return {
        'kind': 'saved_model',
        'folder': folder,
        'bytes': _bytes(os.path.join(folder, 'variables', 'variables')),
        'signatures': signatures,
        'labels': {h: list(names) for h, names in description.heads.items()} if ours else {},
        'warmup_requests': _num_records(warmup) if exists(warmup) else 0,
        'media': description.media.model_dump(mode='json') if ours else None,
        'origin': origin.model_dump(exclude={'format_version'}) if origin else None,
    }


def _num_records(path: str) -> int:
    return sum(1 for _ in tf.data.TFRecordDataset(path))


def _spec(info) -> dict:
    shape = None
    if not info.tensor_shape.unknown_rank:
        shape = [None if d.size < 0 else d.size for d in info.tensor_shape.dim]
    return {'shape': shape, 'dtype': tf.dtypes.as_dtype(info.dtype).name}
