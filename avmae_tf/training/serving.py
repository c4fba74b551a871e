"""The signatures of a served classifier: requests to clips, clips to answers or to a reason.

Stock TensorFlow operations only. Shapes: B clips, F frames, V views, S seconds, C classes, D width.
"""

import functools
import re
from collections.abc import Iterable

import tensorflow as tf

from avmae_tf.config import AUDIO, VIDEO, MediaSpec
from avmae_tf.data import checks, records
from avmae_tf.data.sound import read_wav
from avmae_tf.data.views import eval_views
from avmae_tf.losses.classification import class_scores
from avmae_tf.models.classifier import Classifier, mean_logits, mean_over_views

RECORD_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
CLIP_SIGNATURE, EMBED_SIGNATURE = 'clips', 'embed'
RECORDS = 'examples'
LOGITS, EMBEDDING = 'logits', 'embedding'
FRAMES, FRAME_RATE, SOUND = 'frames', 'frames_per_second', 'audio'
DTYPES = {VIDEO: tf.uint8, AUDIO: tf.float32}  # of the views of a clip
HAS, ERROR = {VIDEO: 'has_video', AUDIO: 'has_audio'}, 'error'
_RECORD_INPUTS = (tf.TensorSpec([None], tf.string, name=RECORDS),)
_CLIP_INPUTS = (
    tf.TensorSpec([None, None], tf.string, name=FRAMES),
    tf.TensorSpec([None], tf.float32, name=FRAME_RATE),
    tf.TensorSpec([None], tf.string, name=SOUND),
)


# There is nothing to convert, and to find that out would take a minute.
traced = functools.partial(tf.function, autograph=False)


def output_keys(head: str, heads: Iterable[str]) -> tuple[str, str]:
    """Names of a head's scores and labels among the outputs; the only head needs no other name."""
    prefix = '' if len(tuple(heads)) == 1 else f'{head}_'
    return f'{prefix}scores', f'{prefix}labels'


RECORD_NAMES = {VIDEO: records.FRAMES, AUDIO: records.WAVEFORM}
CLIP_NAMES = {VIDEO: FRAMES, AUDIO: SOUND}
_NO_RECORD = (
    f'{RECORDS}: neither a tf.train.Example nor a tf.train.SequenceExample with the keys and types '
    'of records'
)


def clip_of_record(record: tf.Tensor) -> dict[str, tf.Tensor]:
    """A serialized record to the fields of a clip and what is wrong with it; it may fail."""
    clip = records.read_record(record)
    return {name: clip[name] for name in ('frames', 'frames_per_second', 'waveform', 'fault')}


def clip_of_request(
    frames: tf.Tensor, frames_per_second: tf.Tensor, audio: tf.Tensor
) -> dict[str, tf.Tensor]:
    """One clip of a request to the same fields."""
    counts = tf.where(tf.strings.length(frames) > 0, tf.range(tf.size(frames)) + 1, 0)
    jpegs = frames[: tf.maximum(tf.reduce_max(counts), 0)]
    waveform, fault = read_wav(audio, SOUND)
    return {
        'frames': jpegs,
        'frames_per_second': frames_per_second,
        'waveform': waveform,
        'fault': checks.first_broken(
            checks.frame_rate_rule(tf.size(jpegs), frames_per_second, FRAME_RATE),
            checks.no_fault(fault),
            checks.level_rule(waveform, SOUND),
        ),
    }


def unreadable() -> dict[str, tf.Tensor]:
    """The fields of a clip in the place of bytes that cannot be read as one."""
    return {
        'frames': tf.zeros([0], tf.string),
        'frames_per_second': tf.zeros([]),
        'waveform': tf.zeros([0]),
        'fault': tf.constant(_NO_RECORD),
    }


def aligned(
    frames: tf.Tensor, frames_per_second: tf.Tensor, audio: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """The inputs of a request, which must hold as many clips each."""
    inputs = {FRAMES: frames, FRAME_RATE: frames_per_second, SOUND: audio}
    counts = tf.stack([tf.shape(x)[0] for x in inputs.values()])
    sentence = [f'{", ".join(inputs)} must hold as many clips each, got', counts]
    with tf.control_dependencies([
        tf.debugging.Assert(tf.reduce_all(counts == counts[0]), sentence)
    ]):  # fmt: skip
        return tuple(tf.identity(x) for x in inputs.values())


def reason_of(error: tf.errors.OpError) -> str:
    """What a request that failed as a whole says of its first clip, or all of the message."""
    found = re.search(r'\[item 0: (.*)\]$', error.message, re.MULTILINE)
    return found[1] if found else error.message


class ServedClassifier(tf.Module):
    """The three signatures of a classifier.

    serving_default  `examples` [B], serialized records -> `scores` [B, C], `labels` [B, C]
    clips            `frames` [B, F], JPEGs, '' after the last of a clip that has fewer;
                     `frames_per_second` [B]; `audio` [B], WAV files of 16-bit PCM, '' where there
                     is no sound -> `scores`, `labels`
    embed            as clips -> `embedding` [B, D of all modalities], the mean over views

    Frames may have any size and rate, sound any rate and number of channels, within the bounds of
    `avmae_tf.data.checks`: what the model was trained on is made of them. All signatures also
    return `has_video`, `has_audio` [B] bool, what a clip had, and `error` [B], '' or a sentence
    that names the field, its value and the rule. A clip with an error has scores or an embedding
    of zeros, and does not touch its neighbours; neither does the length of theirs touch it. A
    request of which no clip can be answered is an InvalidArgument that says why for the first, and
    so is one whose inputs hold different numbers of clips.

    With several heads the outputs are `noun_scores`, `noun_labels` and so on; where each second is
    classified by itself, scores are [B, seconds, C] and the embedding is the mean over them.

    Clips are answered one after the other, and so are their views: memory grows with neither.
    """

    def __init__(self, model: Classifier, heads: dict[str, tuple[str, ...]], media: MediaSpec):
        super().__init__()
        self.weights = list(model.variables)  # the layers themselves would be saved as Keras
        config = model.config.on(media)

        @traced
        def views_of(clip):
            return eval_views(clip, config, config.num_views, config.num_crops)

        outputs = {
            LOGITS: tf.TensorSpec(model.logits_shape),
            EMBEDDING: tf.TensorSpec([config.backbone.width * len(config.modalities)]),
        }
        marks = {**dict.fromkeys(HAS.values(), tf.TensorSpec([], tf.bool)),
                 ERROR: tf.TensorSpec([], tf.string)}  # fmt: skip

        def understand(view):
            """Logits [(S,) C] and embedding [D of all modalities] of one view of one clip."""
            pooled = model.embed({m: x[None] for m, x in view.items()})
            embedding = tf.concat(list(pooled.values()), axis=-1)
            if config.segments > 1:
                embedding = tf.reduce_mean(embedding, axis=1)
            logits = mean_logits(model.classify(pooled))
            return {LOGITS: logits[0], EMBEDDING: tf.cast(embedding[0], tf.float32)}

        @traced  # once, whichever signatures call it
        def understood(views):
            return mean_over_views(understand, views, outputs)

        def one_by_one(read, names, inputs):
            """Outputs and marks, [B, ...] each, of clips that `read` makes of `inputs` [B, ...]."""

            def one(item):
                views, marks = prepare(checks.attempt(read, item, unreadable()), names)
                return understood(views), marks

            return tf.map_fn(
                one, inputs, fn_output_signature=(outputs, marks), parallel_iterations=1
            )

        def prepare(clip, names):
            has = {VIDEO: tf.size(clip['frames']) > 0, AUDIO: tf.size(clip['waveform']) > 0}
            num_views = config.num_views * config.num_crops
            blank = {
                m: tf.zeros([num_views, *config.inputs(m).input_shape], DTYPES[m])
                for m in config.modalities
            }
            lacks = ' nor '.join(names[m] for m in config.modalities)
            fault = checks.first_broken(
                checks.no_fault(clip['fault']),
                checks.no_fault(checks.frames_fault(clip['frames'], names[VIDEO])),
                (
                    tf.reduce_any([has[m] for m in config.modalities]),
                    f'neither {lacks}: a clip needs one of them' if len(blank) > 1
                    else f'no {lacks}: it is all that this model reads',
                ),
            )  # fmt: skip
            inside = f'{names[VIDEO]}: a JPEG that is cut off, or damaged inside'
            views, fault = tf.cond(
                fault == '',
                lambda: checks.attempt(lambda clip: (views_of(clip), ''), (clip,), (blank, inside)),
                lambda: (blank, fault),
            )
            return views, {**{HAS[m]: has[m] for m in HAS}, ERROR: fault}

        def answer(outputs, marks):
            """`outputs` [B, ...] and marks; zeros for a clip with an error."""
            finite = tf.ones_like(marks[ERROR], tf.bool)
            for x in outputs.values():
                finite &= tf.reduce_all(tf.math.is_finite(x), axis=tf.range(1, tf.rank(x)))
            rule = 'the model has no finite answer; its weights may be damaged'
            error = tf.where((marks[ERROR] == '') & ~finite, rule, marks[ERROR])
            answered = error == ''
            first = tf.strings.join(['item 0: ', tf.concat([error, ['no clips']], axis=0)[0]])
            with tf.control_dependencies([tf.debugging.Assert(tf.reduce_any(answered), [first])]):
                marks = {**{HAS[m]: tf.identity(marks[HAS[m]]) for m in HAS}, ERROR: error}
            kept = {}
            for key, x in outputs.items():
                keep = tf.reshape(answered, [-1, *[1] * (len(x.shape) - 1)])
                kept[key] = tf.where(keep, x, tf.zeros_like(x))
            return {**kept, **marks}

        # Traced once, whichever signatures call them.
        @traced(input_signature=_RECORD_INPUTS)
        def answered_records(records):
            return one_by_one(clip_of_record, RECORD_NAMES, (records,))

        @traced(input_signature=_CLIP_INPUTS)
        def answered_clips(*inputs):
            return one_by_one(clip_of_request, CLIP_NAMES, aligned(*inputs))

        def scored(outputs, marks):
            by_head = model.split_heads(outputs[LOGITS])
            keys = {head: output_keys(head, heads) for head in by_head}
            scores = {keys[h][0]: class_scores(config.loss, x) for h, x in by_head.items()}
            batch = tf.shape(marks[ERROR])[0]
            labels = {
                keys[head][1]: tf.repeat(tf.constant([heads[head]]), batch, axis=0)
                for head in by_head
            }
            return {**answer(scores, marks), **labels}

        @traced(input_signature=_RECORD_INPUTS)
        def serving_default(examples_):
            return scored(*answered_records(examples_))

        @traced(input_signature=_CLIP_INPUTS)
        def clips(frames, frames_per_second, audio):
            return scored(*answered_clips(frames, frames_per_second, audio))

        @traced(input_signature=_CLIP_INPUTS)
        def embed(frames, frames_per_second, audio):
            outputs, marks = answered_clips(frames, frames_per_second, audio)
            return answer({EMBEDDING: outputs[EMBEDDING]}, marks)

        functions = {
            RECORD_SIGNATURE: serving_default,
            CLIP_SIGNATURE: clips,
            EMBED_SIGNATURE: embed,
        }
        # Concrete functions: others would be traced again for each signature.
        self.functions = {name: f.get_concrete_function() for name, f in functions.items()}
