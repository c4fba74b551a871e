"""MBT-Base as it is served: one clip of 10 s and four, one view and four.

The SavedModel is written and asked in processes of their own. Requests take turns with forward
passes of the model that was exported, on one view at a time, and with the decoding alone.
"""

import json
import statistics
import sys
import time
from pathlib import Path

from benchmarks.measure import Comparison, alone, peak_gib

CLASSES = 309  # VGGSound
SECONDS, FRAMES_PER_SECOND, FRAME_PX = 10, 25, (256, 340)
REPEATS = 3
LIMIT_GIB = 5.0
SERVED = 1.1  # beside the model's own forward pass
DECODING = 0.05  # of it
LATENCY = 1.1  # of four clips or views, beside four times that of one


def build(num_views: int):
    """The classifier with drawn weights, that gives `num_views` views of a clip."""
    from avmae_tf.config import FINETUNE_RECIPES
    from avmae_tf.config.heads import LABEL
    from avmae_tf.models.builders import build_classifier

    config = FINETUNE_RECIPES['vggsound-base'].replace(num_views=num_views)
    return build_classifier(config, {LABEL: CLASSES})


def served(num_views: int):
    from avmae_tf.config import MediaSpec
    from avmae_tf.config.heads import LABEL
    from avmae_tf.training.serving import ServedClassifier

    names = tuple(map(str, range(CLASSES)))
    return ServedClassifier(build(num_views), {LABEL: names}, MediaSpec())


def request(num_clips: int) -> dict:
    """Clips of smooth noise in motion, and of a tone."""
    import cv2
    import numpy as np
    import tensorflow as tf

    from avmae_tf.training.serving import FRAME_RATE, FRAMES, SOUND
    from avmae_tf.training.warmup import to_wav

    height, width = FRAME_PX
    noise = np.random.default_rng(0).integers(0, 256, [32, 64, 3]).astype(np.uint8)
    wide = cv2.resize(noise, (width + SECONDS * FRAMES_PER_SECOND, height))
    frames = [
        cv2.imencode('.jpg', wide[:, shift : shift + width])[1].tobytes()
        for shift in range(SECONDS * FRAMES_PER_SECOND)
    ]
    times = np.arange(SECONDS * 16000) / 16000
    sound = to_wav(np.round(6000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16))
    return {
        FRAMES: tf.constant([frames] * num_clips),
        FRAME_RATE: tf.constant([float(FRAMES_PER_SECOND)] * num_clips),
        SOUND: tf.constant([sound] * num_clips),
    }


def write(folder: str, num_views: int) -> dict[str, float]:
    import tensorflow as tf

    module = served(num_views)
    tf.saved_model.save(module, folder, signatures=module.functions)
    return {}


def memory(folder: str, num_clips: int) -> dict[str, float]:
    """Peak GiB of a server that answers two requests, and the latency of the second."""
    import tensorflow as tf

    model = tf.saved_model.load(folder)
    clips = request(num_clips)
    for _ in range(2):
        started = time.perf_counter()
        model.signatures['clips'](**clips)['scores'].numpy()
    return {'peak': peak_gib(), 'latency': time.perf_counter() - started}


def forward(folder: str, num_views: int) -> dict[str, float]:
    """CPU seconds of a request of one clip, of its forward passes, and of its decoding."""
    import tensorflow as tf

    from avmae_tf.config import MediaSpec
    from avmae_tf.data.views import eval_views
    from avmae_tf.models.builders import blank_inputs
    from avmae_tf.training.serving import clip_of_request

    loaded, model, clips = tf.saved_model.load(folder), build(num_views), request(1)
    config, view = model.config.on(MediaSpec()), blank_inputs(model.config, 1)
    passes = tf.function(lambda x: model(x)['video'], autograph=False)

    @tf.function(autograph=False)
    def decode(frames, frames_per_second, audio):
        clip = clip_of_request(frames, frames_per_second, audio)
        return eval_views(clip, config, num_views)

    one = [x[0] for x in clips.values()]
    work = {
        'served': lambda: loaded.signatures['clips'](**clips)['scores'].numpy(),
        'forward': lambda: [passes(view).numpy() for _ in range(num_views)],
        'decoding': lambda: decode(*one)['video'].numpy(),
    }
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(REPEATS + 1):
        for name, run in work.items():
            started = time.process_time()
            run()
            times[name].append(time.process_time() - started)
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def compare_all(folder: Path) -> list[Comparison]:
    rows, latency = [], {}
    for views in (1, 4):
        path = str(folder / str(views))
        alone(__name__, 'write', path, str(views))
        found = alone(__name__, 'forward', path, str(views))
        subject = f'one clip, views: {views}'
        for name, what, target in (
            ('served', 'served', SERVED),
            ('decoding', 'decoded, log-mel', DECODING),
        ):
            ours, theirs = found[name], found['forward']
            rows.append(
                Comparison(f'{subject}, {what}', 'forward passes', 'clip', ours, theirs, target)
            )
        for clips in (1, 4):
            found = alone(__name__, 'memory', path, str(clips))
            latency[clips * views] = found['latency']
            subject = f'peak memory, clips: {clips}, views: {views}'
            peak = found['peak']
            rows.append(
                Comparison(subject, 'the limit', 'request', peak, LIMIT_GIB, 1.0, 'GiB', 1.0)
            )
            if clips * views > 1:
                rows.append(
                    Comparison(
                        *(f'latency, clips: {clips}, views: {views}', 'so many times one'),
                        *('request', latency[clips * views], clips * views * latency[1]),
                        *(LATENCY, 's', 1.0),
                    )
                )
    return rows


if __name__ == '__main__':
    from avmae_tf import console

    console.quiet()
    what, path, number = sys.argv[1:]
    work = {'write': write, 'memory': memory, 'forward': forward}[what]
    print(json.dumps(work(path, int(number))))
