"""The strategy follows from what is there, and nobody trains on what was not asked for."""

import json
import os

import pytest
import tensorflow as tf

from avmae_tf.training import devices
from avmae_tf.training.cluster import Cluster, read_cluster, read_slice
from avmae_tf.training.plan import Found, Plan, choose

ALONE = Found(cpus=1)
GPUS = Found(gpus=4, cpus=1)
WORKERS = ['a:1', 'b:1', 'c:1']


def tf_config(cluster: dict, kind: str, index: int) -> dict[str, str]:
    return {'TF_CONFIG': json.dumps({'cluster': cluster, 'task': {'type': kind, 'index': index}})}


# As Vertex AI and Kubeflow's training operator set it, which say more than TensorFlow needs.
VERTEX = {
    'TF_CONFIG': json.dumps(
        {
            'cluster': {'chief': ['p-workerpool0-0:2222'], 'worker': ['p-workerpool1-0:2222']},
            'environment': 'cloud',
            'job': '{}',
            'task': {'type': 'worker', 'index': 0, 'trial': '', 'cloud': 'x'},
        }
    )
}
KUBEFLOW = tf_config({'worker': ['j-worker-0.ns.svc:2222', 'j-worker-1.ns.svc:2222']}, 'worker', 1)
TENSORFLOW_1 = tf_config({'master': ['m:1'], 'worker': ['w:1']}, 'master', 0)
WITH_EVALUATOR = tf_config({'chief': ['c:1'], 'worker': ['w:1'], 'evaluator': ['e:1']}, 'worker', 0)
OF_ONE = tf_config({'chief': ['c:1']}, 'chief', 0)
GKE_SLICE = {'TPU_WORKER_HOSTNAMES': 'h0,h1,h2,h3', 'TPU_WORKER_ID': '2'}
GKE_HOST = {'TPU_WORKER_HOSTNAMES': 'localhost', 'TPU_WORKER_ID': '0'}


@pytest.mark.parametrize(
    ('environment', 'found', 'kind', 'on'),
    [
        ({}, ALONE, 'one', ('CPU:0',)),
        ({}, Found(cpus=2), 'mirrored', ('CPU:0', 'CPU:1')),
        ({}, Found(gpus=1, cpus=2), 'one', ('GPU:0',)),
        ({}, GPUS, 'mirrored', ('GPU:0', 'GPU:1', 'GPU:2', 'GPU:3')),
        ({}, Found(tpus=4, has_tpu_chips=True), 'tpu', 'local'),
        ({'TPU_NAME': 'local'}, Found(tpus=8), 'tpu', 'local'),
        (GKE_HOST, Found(tpus=4), 'tpu', 'local'),
        (
            GKE_SLICE,
            ALONE,
            'slice',
            'grpc://h0:8470,grpc://h1:8470,grpc://h2:8470,grpc://h3:8470',
        ),
        ({'TPU_NAME': 'mine'}, ALONE, 'slice', 'mine'),
        ({'TPU_NAME': 'grpc://10.0.0.2:8470'}, ALONE, 'slice', 'grpc://10.0.0.2:8470'),
        ({'TPU_NAME': 'mine'}, Found(tpus=4), 'tpu', 'local'),  # for gcloud, on its own host
        (VERTEX, ALONE, 'workers', ('CPU:0',)),
        (VERTEX, GPUS, 'workers', ('GPU:0', 'GPU:1', 'GPU:2', 'GPU:3')),
        (KUBEFLOW, Found(gpus=1), 'workers', ('GPU:0',)),
        (TENSORFLOW_1, ALONE, 'workers', ('CPU:0',)),
        (WITH_EVALUATOR, ALONE, 'workers', ('CPU:0',)),
        (VERTEX | GKE_SLICE, ALONE, 'slice', None),
        (OF_ONE, ALONE, 'one', ('CPU:0',)),
        ({'TF_CONFIG': ''}, ALONE, 'one', ('CPU:0',)),
    ],
)
def test_the_strategy_follows_from_what_is_there(environment, found, kind, on):
    plan = choose(environment, found)
    assert plan.kind == kind
    assert on in (None, plan.tpu or plan.devices)
    assert bool(plan.cluster) == (kind == 'workers')


@pytest.mark.parametrize(
    ('environment', 'chief', 'place', 'count'),
    [
        (VERTEX, 'p-workerpool0-0:2222', 1, 2),
        (KUBEFLOW, 'j-worker-0.ns.svc:2222', 1, 2),
        (TENSORFLOW_1, 'm:1', 0, 2),
        (WITH_EVALUATOR, 'c:1', 1, 2),
        (tf_config({'chief': ['c:1'], 'worker': WORKERS}, 'worker', 2), 'c:1', 3, 4),
    ],
)
def test_a_worker_knows_its_chief_and_its_place(environment, chief, place, count):
    cluster = read_cluster(environment)
    assert (cluster.place, cluster.count) == (place, count)
    assert (cluster.chiefs or cluster.workers)[0] == chief
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster.jobs), task_type=cluster.kind, task_id=cluster.index
    )
    assert resolver.cluster_spec().task_address(cluster.kind, cluster.index)


@pytest.mark.parametrize(
    ('found', 'settings', 'plan'),
    [
        (GPUS, {'device': 'cpu'}, Plan('one', ('CPU:0',))),
        (GPUS, {'strategy': 'one'}, Plan('one', ('GPU:0',))),
        (ALONE, {'strategy': 'mirrored'}, Plan('mirrored', ('CPU:0',))),
        (Found(tpus=4, gpus=1), {'device': 'gpu'}, Plan('one', ('GPU:0',))),
        (Found(tpus=4), {'strategy': 'tpu'}, Plan('tpu', tpu='local')),
        (Found(has_tpu_chips=True), {'device': 'cpu'}, Plan('one', ('CPU:0',))),
    ],
)
def test_a_user_can_insist(found, settings, plan):
    assert choose({}, found, **settings) == plan


@pytest.mark.parametrize(
    ('environment', 'found', 'settings', 'message'),
    [
        ({}, Found(has_tpu_chips=True), {}, r'^device: this is a TPU host, and TensorFlow sees no'),
        ({'TPU_ACCELERATOR_TYPE': 'v5litepod-4'}, ALONE, {}, 'this is a TPU host'),
        (GKE_HOST, GPUS, {'strategy': 'one'}, 'this is a TPU host'),
        ({}, GPUS, {'device': 'tpu'}, r'a TPU is asked for.*`--device cpu`'),
        ({}, ALONE, {'strategy': 'slice'}, 'a TPU is asked for'),
        ({}, ALONE, {'device': 'gpu'}, r"^device: a GPU is asked for.*'avmae-tf\[gpu\]'"),
        ({}, ALONE, {'strategy': 'tpu', 'device': 'cpu'}, "'tpu' runs on a TPU, got device='cpu'"),
        ({}, Found(tpus=4), {'strategy': 'slice'}, "'slice' does not run on the TPU local"),
        ({}, Found(tpus=4), {'strategy': 'one'}, 'give .tpu., or another device'),
        ({}, ALONE, {'strategy': 'workers'}, 'needs TF_CONFIG with two workers or more, got none'),
        (VERTEX, ALONE, {'strategy': 'one'}, 'have each of the 2 workers of TF_CONFIG train alone'),
        ({'TF_CONFIG': '{'}, ALONE, {}, '^TF_CONFIG: .*; got {'),
        (tf_config({'worker': WORKERS}, 'worker', 3), ALONE, {}, 'worker 3, is not in its cluster'),
        (tf_config({'worker': WORKERS}, 'evaluator', 0), ALONE, {}, 'evaluator 0 has nothing to'),
        (tf_config({'worker': WORKERS}, 'ps', 0), ALONE, {}, 'ps 0 has nothing to do'),
        (tf_config({'boss': ['a:1'], 'worker': WORKERS}, 'worker', 0), ALONE, {}, "knows .'boss'"),
        (
            {'TPU_WORKER_HOSTNAMES': 'h0,h1'},
            ALONE,
            {},
            "TPU_WORKER_ID: must be a number below 2.*got ''",
        ),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(environment, found, settings, message):
    with pytest.raises(ValueError, match=message) as refused:
        choose(environment, found, **settings)
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize(
    ('vendor', 'device', 'is_tpu'),
    [('0x1ae0', '0x0063', True), ('0x1ae0', '0x0042', False), ('0x10de', '0x0063', False)],
)  # of Google: a TPU v5e, a network card; of somebody else
def test_a_tpu_host_is_known_by_its_chips(tmp_path, vendor, device, is_tpu):
    for name, text in {'vendor': vendor, 'device': device}.items():
        (tmp_path / '0000:00:05.0').mkdir(exist_ok=True)
        (tmp_path / '0000:00:05.0' / name).write_text(f'{text}\n')
    assert devices.find(tmp_path).has_tpu_chips == is_tpu


@pytest.mark.parametrize(
    ('plan', 'kind', 'said'),
    [
        (Plan('one', ('CPU:0',)), tf.distribute.OneDeviceStrategy, 'OneDeviceStrategy on CPU:0'),
        (
            Plan('mirrored', ('CPU:0', 'CPU:1')),
            tf.distribute.MirroredStrategy,
            'MirroredStrategy on CPU:0, CPU:1',
        ),
    ],
)
def test_a_strategy_is_made_once_and_named(plan, kind, said):
    strategy = devices.make(plan)
    assert isinstance(strategy, kind) and devices.make(plan) is strategy
    assert devices.describe(strategy) == said
    assert devices.is_chief(strategy) and devices.agreement(strategy)([1.0, 2.0]) == [1.0, 2.0]


def test_two_cpu_devices_are_two_replicas_unless_the_environment_insists(monkeypatch):
    assert devices.default_strategy().num_replicas_in_sync == 2
    monkeypatch.setitem(os.environ, 'AVMAE_DEVICE', 'gpu')
    with pytest.raises(ValueError, match='a GPU is asked for'):
        devices.default_strategy()
    assert devices.default_strategy(device='cpu').num_replicas_in_sync == 2
    monkeypatch.setitem(os.environ, 'AVMAE_DEVICE', 'npu')
    with pytest.raises(ValueError, match=r"AVMAE_DEVICE: must be one of .*got 'npu'"):
        devices.default_strategy()


def test_a_cluster_is_what_tensorflow_takes():
    assert Cluster(('c:1',), ('w:1',), 'worker', 0).jobs == {'chief': ['c:1'], 'worker': ['w:1']}
    assert read_slice(GKE_HOST) is None and read_slice({}) is None
    assert read_slice(GKE_SLICE).index == 2
