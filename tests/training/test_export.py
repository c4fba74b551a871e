"""The SavedModel gives what the Python model gives, through every signature."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from avmae_tf.data.inputs import eval_batches
from avmae_tf.data.records import parse_record
from avmae_tf.models.classifier import view_averaged_logits
from avmae_tf.training.checkpoints import describe_model, load_model
from avmae_tf.training.export import describe_served, export_saved_model
from avmae_tf.training.warmup import WARMUP_FILE, to_wav


@pytest.fixture(scope='module')
def batch(records, dataset, finetune_config):
    """Four clips as the model is tested on them, and the records that hold them."""
    path = f'{records}/{dataset.shards("eval")[0].path}'
    serialized = [r.numpy() for r in tf.data.TFRecordDataset(path).take(4)]
    batches = eval_batches(records, dataset, finetune_config, batch_size=4, num_views=2)
    views = next(iter(batches))
    return serialized, {m: views[m] for m in finetune_config.modalities}


def test_records_in_python_and_in_the_saved_model(exported, served, batch, dataset):
    serialized, views = batch
    model = load_model(exported[0])
    expected = tf.nn.softmax(view_averaged_logits(model, views))
    answer = served.signatures['serving_default'](examples=tf.constant(serialized))
    np.testing.assert_allclose(answer['scores'], expected, atol=1e-5)
    assert [label.decode() for label in answer['labels'][0].numpy()] == list(dataset.classes)


def as_wav(waveform) -> bytes:
    return to_wav(np.round(waveform.numpy() * 32768).astype(np.int16))


def client_request(serialized):
    """What a client that has JPEGs and samples sends; clips of unequal length are filled up."""
    clips = [parse_record(record) for record in serialized]
    frames = [clip['frames'].numpy().tolist() for clip in clips]
    longest = max(map(len, frames)) + 3
    return {
        'frames': tf.constant([f + [b''] * (longest - len(f)) for f in frames]),
        'frames_per_second': tf.stack([clip['frames_per_second'] for clip in clips]),
        'audio': tf.constant([as_wav(clip['waveform']) for clip in clips]),
    }


def test_clips_and_embeddings_equal_those_of_records(exported, served, batch):
    serialized, views = batch
    request = client_request(serialized)
    scores = served.signatures['clips'](**request)['scores']
    by_record = served.signatures['serving_default'](examples=tf.constant(serialized))['scores']
    np.testing.assert_allclose(scores, by_record, atol=1e-6)

    flat = {m: tf.reshape(x, [-1, *x.shape[2:]]) for m, x in views.items()}
    pooled = tf.concat(list(load_model(exported[0]).embed(flat).values()), axis=-1)
    expected = tf.reduce_mean(tf.reshape(pooled, [4, 2, -1]), axis=1)
    embedding = served.signatures['embed'](**request)['embedding']
    np.testing.assert_allclose(embedding, expected, atol=1e-5)


def test_warm_up_requests_are_answered(exported, served):
    from tensorflow_serving.apis import prediction_log_pb2

    asked = []
    for record in tf.data.TFRecordDataset(f'{exported[1]}/{WARMUP_FILE}'):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        assert request.model_spec.name == 'demo'
        inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
        signature = served.signatures[request.model_spec.signature_name]
        asked.append(request.model_spec.signature_name)
        assert all(tf.reduce_all(tf.math.is_finite(x)) for x in signature(**inputs).values()
                   if x.dtype.is_floating)  # fmt: skip
    assert sorted(asked) == ['clips', 'embed', 'serving_default']


def test_the_saved_model_knows_what_it_was_exported_from(exported):
    assert describe_served(exported[1]) == describe_model(exported[0])


def operations(folder: str) -> set[str]:
    """Kinds of all operations of a SavedModel, those of functions within functions included."""
    with open(f'{folder}/saved_model.pb', 'rb') as f:
        (meta_graph,) = saved_model_pb2.SavedModel.FromString(f.read()).meta_graphs
    graph = meta_graph.graph_def
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return {node.op for node in nodes}


def test_no_operation_calls_back_into_python(exported, tmp_path):
    class Calling(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None])])
        def in_a_loop(self, x):
            return tf.map_fn(lambda y: tf.numpy_function(np.sqrt, [y], tf.float32), x)

    tf.saved_model.save(Calling(), str(tmp_path))
    calls = {'PyFunc', 'PyFuncStateless', 'EagerPyFunc'}
    assert operations(str(tmp_path)) & calls  # as seen two functions deep
    found = operations(exported[1])
    assert {'DecodeJpeg', 'DecodeAndCropJpeg'} & found and not found & calls


def test_exporting_over_something_is_refused(exported):
    with pytest.raises(ValueError, match='exists already'):
        export_saved_model(exported[0], exported[1])
