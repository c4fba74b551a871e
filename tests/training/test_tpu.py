"""The steps under TensorFlow's strategy for TPUs, whose cores are but names: traced, not run."""

import collections

import orbit
import pytest
import tensorflow as tf
from tensorflow.python.client.session import _DeviceAttributes
from tensorflow.python.distribute.values import PerReplica
from tensorflow.python.tpu.tpu_system_metadata import TPUSystemMetadata

from avmae_tf.config import RunSpec
from avmae_tf.data.dataset import without_autograph
from avmae_tf.tpu.lowering import undescribed
from avmae_tf.training import devices, trainer
from avmae_tf.training.tasks import FinetuneTask, PretrainTask

pytestmark = pytest.mark.slow
CORES = 4


class NamedTPU(tf.distribute.cluster_resolver.TPUClusterResolver):
    """One host with so many cores."""

    def __init__(self):
        pass

    def get_tpu_system_metadata(self) -> TPUSystemMetadata:
        host = '/job:worker/replica:0/task:0/device'
        names = ['CPU:0', 'TPU_SYSTEM:0', *(f'TPU:{core}' for core in range(CORES))]
        found = [_DeviceAttributes(f'{host}:{n}', n.partition(':')[0], 0, 0) for n in names]
        return TPUSystemMetadata(
            num_cores=CORES, num_hosts=1, num_of_cores_per_host=CORES, topology=None, devices=found
        )


def batch_of(spec: dict) -> dict:
    """What one turn of a distributed data set gives: an input of the graph for each core."""
    return {
        name: PerReplica(tuple(tf.compat.v1.placeholder(x.dtype, x.shape) for _ in range(CORES)))
        for name, x in spec.items()
    }


@without_autograph
def operations(task) -> collections.Counter:
    """All that is traced of a task for a core, inside of functions too."""
    config, clips = task.config, task.config.schedule.batch_size // CORES
    labels = {
        head: tf.TensorSpec([clips, len(names)]) for head, names in task.dataset.heads.items()
    }
    shapes = {m: config.inputs(m).input_shape for m in config.modalities}
    trained = {m: tf.TensorSpec([clips, *x]) for m, x in shapes.items()} | labels
    tested = {m: tf.TensorSpec([clips, task.num_eval_views, *x]) for m, x in shapes.items()}
    tested |= {
        **labels,
        'weight': tf.TensorSpec([clips]),
        'place': tf.TensorSpec([clips], tf.int32),
    }
    with tf.Graph().as_default() as graph, pytest.MonkeyPatch.context() as patch:
        strategy = tf.distribute.TPUStrategy(NamedTPU())
        assert devices.is_tpu(strategy) and strategy.num_replicas_in_sync == CORES
        patch.setattr(strategy, 'distribute_datasets_from_function', lambda make: None)
        patch.setattr(orbit.StandardEvaluator, '__init__', lambda self, eval_dataset: None)
        traced = trainer.Trainer(task, '', strategy, RunSpec())
        traced.train_step(iter([batch_of(trained)]))
        traced.eval_step(iter([batch_of(tested)]))
        shown = {m: tf.zeros(trained[m].shape) for m in config.modalities}
        traced.embed(shown)
        if task.has_pictures:
            traced.reconstruct(shown)
        return on_cores(graph.as_graph_def())


def on_cores(graph: tf.compat.v1.GraphDef) -> collections.Counter:
    """Operations of TPU clusters and of the functions that they call; the input's are not among."""
    functions = {f.signature.name: [*f.node_def] for f in graph.library.function}
    nodes = [*graph.node, *(node for body in functions.values() for node in body)]
    waiting, found = (
        [node for node in nodes if '_tpu_replicate' in node.attr],
        collections.Counter(),
    )
    while waiting:
        node = waiting.pop()
        found[node.op] += 1
        for value in node.attr.values():
            for function in (value.func, *value.list.func):
                waiting += functions.pop(function.name, [])
    return found


@pytest.fixture(scope='module')
def traced(pretrain_config, finetune_config):
    """Of one modality and few blocks, since each is the same for a TPU."""
    small = {'modalities': ('audio',), 'backbone': pretrain_config.backbone.replace(num_layers=2)}
    pretraining = pretrain_config.replace(
        **small, encoder='shared', decoder=pretrain_config.decoder.replace(num_layers=1)
    )
    augment = {'mixup': {'per_modality': True}}
    finetuning = finetune_config.replace(
        **small, fusion='shared', augment=augment, stochastic_depth=0.5
    )
    return {
        'pretrain': operations(PretrainTask(pretraining, undescribed(16, {}))),
        'finetune': operations(FinetuneTask(finetuning, undescribed(16, {'label': ('a', 'b')}))),
    }


def test_all_that_runs_on_devices_can_be_traced_for_a_tpu(traced):
    assert traced['pretrain']['TPUReplicateMetadata'] == 4  # a step, a test, embeddings, pictures
    assert traced['finetune']['TPUReplicateMetadata'] == 3


def test_nothing_that_is_drawn_depends_on_the_kind_of_device(traced):
    for ops in traced.values():
        assert not ops['StatelessRandomGetAlg'] and not ops['StatelessRandomGetKeyCounter']
        assert ops['StatelessRandomUniformV2']


def test_the_rate_is_computed_once_a_step_not_for_each_variable(traced):
    for ops in traced.values():
        branches = ops['If'] + ops['StatelessIf']
        assert branches <= 4, branches  # of the schedule, here and there
