"""Records of generated clips for the mini scale, written as they are drawn."""

import os
from collections.abc import Callable

import numpy as np

from avmae_tf.config import SAMPLE_RATE_HZ, MediaSpec
from avmae_tf.config.heads import LABEL
from avmae_tf.config.splits import EVAL, TRAIN
from avmae_tf.data import textures
from avmae_tf.data.locks import holds
from avmae_tf.storage import exists, short_hash

NUM_SHARDS = 4  # of the clips without a label; those with one have their own, read by itself
EVAL_SEED = 1_000_000  # clips that are held out are drawn from another range


@holds('folder')
def write_records(
    folder: str,
    *,
    num_train: int,
    num_labelled: int,
    num_eval: int,
    seed: int,
    say: Callable[[str], None],
) -> str:
    """Records of generated clips in `folder`, unless they are there; returns it.

    The first `num_labelled` clips to train on have a label, as many of each class, and all that
    are held out.
    """
    import tensorflow as tf

    from avmae_tf.data.dataset import DATASET_FILE, Dataset, Shard, save_dataset

    if exists(os.path.join(folder, DATASET_FILE)):
        return folder
    say(f'drawing {num_train} clips to train on, {num_labelled} of them with a label')

    def write(split: str, name: str, clips: range, with_label: bool) -> Shard:
        path = f'Split-{split}/{name}'
        os.makedirs(os.path.join(folder, f'Split-{split}'), exist_ok=True)
        with tf.io.TFRecordWriter(os.path.join(folder, path)) as writer:
            for index in clips:
                writer.write(_record(split, index, seed, with_label=with_label))
        return Shard(path=path, num_examples=len(clips))

    others = (range(num_labelled + i, num_train, NUM_SHARDS) for i in range(NUM_SHARDS))
    splits = {
        TRAIN: (
            write(TRAIN, 'labelled', range(num_labelled), True),
            *(write(TRAIN, f'unlabelled-{i}', clips, False) for i, clips in enumerate(others)),
        ),
        EVAL: (write(EVAL, 'labelled', range(num_eval), True),),
    }
    made = f'{textures.DESIGN} {seed} {num_train} {num_labelled} {num_eval}'
    dataset = Dataset(
        media=MediaSpec(
            frames_per_second=textures.FRAMES_PER_SECOND, shorter_side_px=textures.SIZE_PX
        ),
        heads={LABEL: textures.CLASSES},
        splits=splits,
        fingerprint=short_hash([made.encode()]),
    )
    save_dataset(folder, dataset)  # last: from here on they are there
    return folder


def _record(split: str, index: int, seed: int, *, with_label: bool) -> bytes:
    import cv2

    from avmae_tf.data.record_writer import write_record

    label = index % len(textures.CLASSES)
    frames, waveform = textures.draw_clip(label, [seed, index + EVAL_SEED * (split == EVAL)])
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    jpegs = tuple(cv2.imencode('.jpg', x[..., ::-1], quality)[1].tobytes() for x in frames)
    samples = np.round(waveform * 32767).astype(np.int16)
    return write_record(
        key=f'{split}/{index}',
        filename='',
        label_indices={LABEL: (label,) if with_label else ()},
        label_texts={LABEL: (textures.CLASSES[label],) if with_label else ()},
        start_us=0,
        end_us=round(1e6 * len(samples) / SAMPLE_RATE_HZ),
        frames=jpegs,
        frames_per_second=textures.FRAMES_PER_SECOND,
        waveform=samples,
        sample_rate_hz=SAMPLE_RATE_HZ,
        valid_samples=len(samples),
        status=(),
        fingerprint='',
    )
