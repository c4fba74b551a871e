"""A finetuned classifier as a SavedModel that TF Serving runs: stock TensorFlow operations only.

Shapes: B clips, F frames, S samples at 16 kHz, V views, C classes.
"""

import os
import re
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from avmae_tf.config import SAMPLE_RATE_HZ
from avmae_tf.data import examples
from avmae_tf.data.files import write_text
from avmae_tf.data.locks import held
from avmae_tf.data.views import testing_views
from avmae_tf.losses.classification import class_scores
from avmae_tf.models.classifier import Classifier
from avmae_tf.training.checkpoints import (
    MODEL_FILE,
    ModelDescription,
    describe_model,
    load_model,
)
from avmae_tf.training.publish import appearing, clear_leftovers, is_complete, versions_in
from avmae_tf.training.tasks import merge_views, view_averaged_logits

CLIP_SIGNATURE, EMBED_SIGNATURE = 'clips', 'embed'
DESCRIPTION_FILE = f'assets.extra/{MODEL_FILE}'  # what it was exported from
WARMUP_FILE = 'assets.extra/tf_serving_warmup_requests'
_CLIP_INPUTS = (
    tf.TensorSpec([None, None], tf.string, name='frames'),
    tf.TensorSpec([None], tf.float32, name='frames_per_second'),
    tf.TensorSpec([None, None], tf.float32, name='waveform'),
)


def output_keys(head: str, heads: Iterable[str]) -> tuple[str, str]:
    """Names of a head's scores and labels among the outputs; the only head needs no other name."""
    prefix = '' if len(tuple(heads)) == 1 else f'{head}_'
    return f'{prefix}scores', f'{prefix}labels'


class ServedClassifier(tf.Module):
    """The three signatures of a classifier.

    serving_default  `examples` [B], serialized records -> `scores` [B, C], `labels` [B, C]
    clips            `frames` [B, F], JPEGs, '' where a clip has fewer; `frames_per_second` [B];
                     `waveform` [B, S], 16 kHz mono in [-1, 1] -> `scores`, `labels`
    embed            as clips -> `embedding` [B, D of all modalities], the mean over views

    With several heads the outputs are `noun_scores`, `noun_labels` and so on; where each second is
    classified by itself, scores are [B, seconds, C] and the embedding is the mean over them.
    """

    def __init__(self, model: Classifier, heads: dict[str, tuple[str, ...]]):
        super().__init__()
        self.weights = list(model.variables)  # the layers themselves would be saved as Keras
        config = model.config

        def views_of(clip):
            return testing_views(clip, config, config.num_views, config.num_crops)

        shapes = {
            m: tf.TensorSpec([config.num_views * config.num_crops, *config.inputs(m).input_shape])
            for m in config.modalities
        }

        def clip_views(frames, frames_per_second, waveform):
            def one(clip):
                jpegs = tf.boolean_mask(clip[0], tf.strings.length(clip[0]) > 0)
                fields = {'frames': jpegs, 'frames_per_second': clip[1], 'waveform': clip[2]}
                return views_of(fields)

            clips = (frames, frames_per_second, waveform)
            return tf.map_fn(one, clips, fn_output_signature=shapes)

        def scored(views):
            by_head = model.split_heads(view_averaged_logits(model, views))
            outputs = {}
            for head, logits in by_head.items():
                scores_key, labels_key = output_keys(head, heads)
                outputs[scores_key] = class_scores(config.loss, logits)
                batch = tf.shape(logits)[0]
                outputs[labels_key] = tf.repeat(tf.constant([heads[head]]), batch, axis=0)
            return outputs

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name='examples')])
        def serving_default(examples_):
            def one(record):
                return views_of(examples.parse_example(record))

            return scored(tf.map_fn(one, examples_, fn_output_signature=shapes))

        @tf.function(input_signature=_CLIP_INPUTS)
        def clips(frames, frames_per_second, waveform):
            return scored(clip_views(frames, frames_per_second, waveform))

        @tf.function(input_signature=_CLIP_INPUTS)
        def embed(frames, frames_per_second, waveform):
            flat, num_views = merge_views(clip_views(frames, frames_per_second, waveform))
            pooled = tf.concat(list(model.embed(flat).values()), axis=-1)
            if config.segments > 1:
                pooled = tf.reduce_mean(pooled, axis=1)
            by_view = tf.reshape(pooled, [-1, num_views, pooled.shape[-1]])
            return {'embedding': tf.reduce_mean(tf.cast(by_view, tf.float32), axis=1)}

        self.functions = {
            tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY: serving_default,
            CLIP_SIGNATURE: clips,
            EMBED_SIGNATURE: embed,
        }


def warmup_clip(seconds: float = 1.0, rate: float = 8.0) -> dict[str, np.ndarray]:
    """A grey, silent clip as a client would send it, a batch of one."""
    frame = tf.io.encode_jpeg(tf.fill([64, 64, 3], tf.constant(128, tf.uint8))).numpy()
    return {
        'frames': np.array([[frame] * round(seconds * rate)], dtype=object),
        'frames_per_second': np.array([rate], np.float32),
        'waveform': np.zeros([1, round(seconds * SAMPLE_RATE_HZ)], np.float32),
    }


def write_warmup(folder: str, name: str):
    """Requests that TF Serving replays before it takes traffic, one for each signature."""
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2  # heavy import

    clip = warmup_clip()
    record = examples.write_example(
        key='warm-up',
        filename='',
        label_indices={},
        label_texts={},
        start_us=0,
        end_us=1_000_000,
        frames=tuple(clip['frames'][0]),
        frames_per_second=float(clip['frames_per_second'][0]),
        waveform=np.zeros(SAMPLE_RATE_HZ, np.int16),
        sample_rate_hz=SAMPLE_RATE_HZ,
        valid_samples=SAMPLE_RATE_HZ,
        status=(),
        fingerprint='',
    )
    requests = {
        tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY: {'examples': np.array([record], object)},
        CLIP_SIGNATURE: clip,
        EMBED_SIGNATURE: clip,
    }
    path = os.path.join(folder, WARMUP_FILE)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        for signature, inputs in requests.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            for key, value in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())


def export_saved_model(model_folder: str, out: str, name: str = 'avmae'):
    """Writes the classifier of `model_folder` as a SavedModel, whole or not at all."""
    description = describe_model(model_folder)
    if tf.io.gfile.exists(out):
        raise ValueError(f'{out}: exists already; give another folder, or delete this one')
    if not description.finetune:
        raise ValueError(f'{model_folder}: a pretrained encoder has no classes; finetune it first')
    served = ServedClassifier(load_model(model_folder), description.heads)
    with held(out, beside=True):
        above, itself = os.path.split(out.rstrip('/'))
        clear_leftovers(above or '.', re.escape(itself))
        with appearing(out) as temporary:
            tf.saved_model.save(served, temporary, signatures=served.functions)
            write_warmup(temporary, name)
            write_text(os.path.join(temporary, DESCRIPTION_FILE), description.to_json())


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
    if not tf.io.gfile.exists(path):
        raise ValueError(
            f'{folder}: not a SavedModel of `avmae export` ({DESCRIPTION_FILE} is missing)'
        )
    with tf.io.gfile.GFile(path) as f:
        return ModelDescription.from_json(f.read())
