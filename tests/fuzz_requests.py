"""Malformed requests to a SavedModel: no crash, no unmarked answer, no NaN, bounded memory.

python tests/fuzz_requests.py SAVED_MODEL --count 600
"""

import argparse
import random
import resource
import struct

import numpy as np
import tensorflow as tf
from served_requests import clip, jpeg, picture, record, request, tone

from avmae_tf.training.warmup import to_wav

BATCH = 4
FLOOR_MB = 256  # that memory may grow by whatever is asked
TIMES = 4  # the memory of a request of as many frames of 1920 x 1080


def large_clip() -> dict:
    """The largest frames that clients should send."""
    frame = jpeg(np.random.default_rng(0).integers(0, 9, [1080, 1920, 3]).astype(np.uint8))
    return clip(frames=[frame] * 16)


class Malformed:
    """Draws one fault after another, by `seed`: fields of a clip, and records."""

    def __init__(self, seed: int):
        self.rng = random.Random(seed)
        self.good = clip()
        self.sides = [
            jpeg(picture(side), progressive=bool(i % 2)) for i, side in enumerate((16, 64))
        ]

    def bytes_(self) -> bytes:
        return self.rng.randbytes(self.rng.choice((1, 3, 40, 2000)))

    def cut(self, data: bytes) -> bytes:
        return data[: self.rng.randrange(1, len(data))]

    def frame(self) -> bytes:
        """What is certainly no JPEG that may be decoded."""
        data = self.rng.choice(self.sides)
        at = max(data.find(b'\xff\xc0'), data.find(b'\xff\xc2'))
        height, width = self.rng.choice(((65535, 65535), (20000, 300), (0, 8), (2000, 1300)))
        sized = data[: at + 5] + struct.pack('>HH', height, width) + data[at + 9 :]
        scan = data[data.rindex(b'\xff\xda') : -2]
        bomb = data[:-2] + scan * self.rng.randrange(13, 500) + data[-2:]
        return self.rng.choice((self.bytes_(), self.cut(data[: at + 9]), sized, bomb, data[:-30]))

    def rate(self) -> float:
        return self.rng.choice(
            (0.0, -0.0, -1.0, -1e30, 1e30, 1e-30, 1001.0, *map(float, ('nan', 'inf', '-inf')))
        )

    def sound(self) -> bytes:
        file = bytearray(to_wav(tone()))
        place, values = self.rng.choice(
            (
                (0, (b'RIFX', b'\0\0\0\0')),
                (8, (b'AVI ',)),
                (12, (b'junk',)),
                (20, (b'\3\0', b'\6\0', b'\x50\0')),  # format
                (22, (b'\0\0', b'\xff\xff', b'\3\0')),  # channels
                (24, (b'\0\0\0\0', b'\xff\xff\xff\xff', b'\1\0\0\0')),  # rate
                (32, (b'\0\0', b'\7\0')),  # bytes of a block
                (34, (b'\x08\0', b'\x18\0', b'\x20\0')),  # bits
                (40, (b'\xff\xff\xff\x3f', b'\xff\xff\0\0')),  # bytes of samples
            )
        )
        value = self.rng.choice(values)
        file[place : place + len(value)] = value
        return self.rng.choice((bytes(file), bytes(file), self.cut(to_wav(tone())), self.bytes_()))

    def clip(self) -> dict:
        fault = self.rng.choice(('frame', 'gap', 'rate', 'sound', 'neither'))
        frames = list(self.good['frames'])
        # Every frame, as a view may leave out some, and only what is read can be found damaged.
        if fault == 'frame':
            return clip(frames=[self.frame()] * len(frames))
        if fault == 'gap':
            frames[self.rng.randrange(len(frames) - 1)] = b''
            return clip(frames=frames)
        if fault == 'neither':
            return clip(frames=[], audio=b'')
        return clip(
            **{'rate': {'frames_per_second': self.rate()}, 'sound': {'audio': self.sound()}}[fault]
        )

    def record(self) -> bytes:
        frames, rate_hz = self.good['frames'], self.rng.choice((0, -5, 300_000, 48_000))
        odd = [tone().tobytes() + b'x']
        floats = [self.rng.choice((float('nan'), float('inf'), 1e30, -3.0))] * 16_000
        makers = (
            lambda: b'',
            self.bytes_,
            lambda: self.cut(record(frames=frames, samples=tone()))[:-1] + b'\xff',
            lambda: record(other=[1], without=['image/encoded']),
            lambda: record(frames=frames, without=['WAVEFORM/feature/bytes']),
            lambda: record(samples=tone(), without=['image/encoded']),
            lambda: record(),
            lambda: record(frames=[self.frame()] * 8, samples=tone()),
            lambda: record(frames=frames, **{'image/fps': [self.rate()]}),
            lambda: record(frames=frames, samples=tone(), **{'audio/sample_rate': [rate_hz]}),
            lambda: record(frames=frames, **{'WAVEFORM/feature/bytes': odd}),
            lambda: record(frames=frames, floats=floats),
            lambda: record(frames=frames, **{'image/fps': [b'eight']}),
            lambda: record(frames=frames, **{'clip/end/timestamp': [9.5]}),
        )
        return self.rng.choice(makers)()


def ask(signature, inputs) -> dict[str, np.ndarray] | None:
    """The answer; None if the request was refused as a whole, naming the first clip or inputs."""
    try:
        return {key: value.numpy() for key, value in signature(**inputs).items()}
    except tf.errors.InvalidArgumentError as error:
        assert 'item 0: ' in error.message or 'as many clips' in error.message, error.message
        return None


def check(answer: dict[str, np.ndarray], bad: set[int], size: int):
    """Bad clips are marked and have zeros; all the others have an answer."""
    values = answer['scores'] if 'scores' in answer else answer['embedding']
    assert np.isfinite(values).all()
    for item in range(size):
        assert bool(answer['error'][item]) == (item in bad), (item, bad, answer['error'])
        assert values[item].any() == (item not in bad)


def resident_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def fuzz(model, count: int, seed: int = 0) -> dict[str, float]:
    """Asks `count` requests with one to four bad clips of four; raises AssertionError."""
    drawn, signatures = Malformed(seed), model.signatures
    good, sound_record = clip(), record(frames=clip()['frames'], samples=tone())
    for name in ('clips', 'embed'):
        ask(signatures[name], request(*[good] * BATCH))
    ask(signatures['serving_default'], {'examples': tf.constant([sound_record] * BATCH)})
    before = resident_mb()
    ask(signatures['clips'], request(*[large_clip()] * BATCH))
    allowed = before + max(FLOOR_MB, TIMES * (resident_mb() - before))
    refused = 0
    for _ in range(count):
        name = drawn.rng.choice(('clips', 'embed', 'serving_default'))
        bad = set(drawn.rng.sample(range(BATCH), drawn.rng.randint(1, BATCH)))
        if name == 'serving_default':
            records = [drawn.record() if i in bad else sound_record for i in range(BATCH)]
            inputs = {'examples': tf.constant(records)}
        else:
            inputs = request(*(drawn.clip() if i in bad else good for i in range(BATCH)))
            if drawn.rng.random() < 0.05:
                field = drawn.rng.choice(sorted(inputs))
                inputs[field], bad = inputs[field][:-1], set(range(BATCH))
        answer = ask(signatures[name], inputs)
        refused += answer is None
        assert (answer is None) == (len(bad) == BATCH), (name, bad, answer)
        if answer:
            check(answer, bad, BATCH)
        assert resident_mb() <= allowed, (resident_mb(), allowed)
    return {'requests': count, 'refused': refused, 'peak_mb': resident_mb(), 'allowed_mb': allowed}


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('saved_model')
    parser.add_argument('--count', type=int, default=600)
    parser.add_argument('--seed', type=int, default=0)
    given = parser.parse_args()
    print(fuzz(tf.saved_model.load(given.saved_model), given.count, given.seed))
