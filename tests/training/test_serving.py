"""The served model gives the right answer to what it is sent, or says by clip why it gives none."""

import time

import numpy as np
import pytest
import tensorflow as tf
from fuzz_requests import fuzz
from served_requests import clip, jpeg, picture, record, request, tone

from avmae_tf.data import checks
from avmae_tf.data.record_writer import write_record
from avmae_tf.predictor import Predictor
from avmae_tf.training.warmup import to_wav
from beam_jobs.media import decode_clip

SAME = {'atol': 1e-5}


@pytest.fixture(scope='module')
def ask(served):
    return lambda *clips, signature='clips': {
        key: value.numpy() for key, value in served.signatures[signature](**request(*clips)).items()
    }


@pytest.fixture(scope='module')
def ask_records(served):
    signature = served.signatures['serving_default']
    return lambda *records: {
        key: value.numpy() for key, value in signature(examples=tf.constant(records)).items()
    }


@pytest.fixture(scope='module')
def scores(ask):
    return ask(clip())['scores'][0]


@pytest.mark.parametrize('side', [24, 48, 100, 333])
def test_frames_of_any_size_give_the_answer_of_the_size_trained_on(ask, scores, side):
    found = ask(clip(side=side))['scores'][0]
    np.testing.assert_allclose(found, scores, atol=0.008)
    mirrored = [jpeg(picture(side, shift)[:, ::-1]) for shift in range(8)]
    assert np.abs(ask(clip(frames=mirrored))['scores'][0] - scores).max() > 0.016


def test_frames_of_several_sizes_in_one_clip_are_taken_one_by_one(ask, scores):
    sides = [32, 64, 100, 24] * 2
    frames = [jpeg(picture(side, shift)) for shift, side in enumerate(sides)]
    np.testing.assert_allclose(ask(clip(frames=frames))['scores'][0], scores, atol=0.008)


@pytest.mark.parametrize('rate_hz', [8000, 22050, 44100, 48000])
def test_sound_of_any_rate_gives_the_answer_of_16_khz(ask, scores, rate_hz):
    found = ask(clip(audio=to_wav(tone(rate_hz), rate_hz)))['scores'][0]
    np.testing.assert_allclose(found, scores, atol=0.02)


def test_a_clips_answer_does_not_depend_on_its_neighbours(ask):
    clips = [
        clip(num_frames=n, side=32 + n, audio=to_wav(tone(seconds=0.2 + 0.3 * n)))
        for n in range(1, 17)
    ]
    for signature, key in (('clips', 'scores'), ('embed', 'embedding')):
        together = ask(*clips, signature=signature)[key]
        alone = [ask(x, signature=signature)[key][0] for x in clips]
        np.testing.assert_allclose(together, alone, **SAME)


def test_records_clips_and_predict_agree(ask, ask_records, exported, clips, dataset):
    path = str(next(clips.parent.glob('eval/*.mp4')))
    decoded = decode_clip(path, dataset.media)
    by_record = ask_records(
        write_record(
            key='k', filename='', label_indices={}, label_texts={}, start_us=decoded.start_us,
            end_us=decoded.end_us, frames=decoded.frames, frames_per_second=8.0,
            waveform=decoded.waveform, sample_rate_hz=16000, valid_samples=0, status=(),
            fingerprint='',
        )
    )['scores'][0]  # fmt: skip
    sent = {'frames': decoded.frames, 'frames_per_second': 8.0, 'audio': to_wav(decoded.waveform)}
    np.testing.assert_allclose(ask(sent)['scores'][0], by_record, atol=1e-4)
    named = dict(Predictor(exported[1]).predict(path, top=100)['scores'])
    found = [named[name] for name in dataset.classes]
    np.testing.assert_allclose(found, by_record, atol=1e-4)


def test_a_missing_modality_is_answered_and_marked(ask, ask_records):
    answer = ask(clip(), clip(frames=[]), clip(audio=b''))
    assert answer['has_video'].tolist() == [True, False, True]
    assert answer['has_audio'].tolist() == [True, True, False]
    assert answer['error'].tolist() == [b''] * 3
    np.testing.assert_allclose(answer['scores'].sum(axis=-1), 1.0, rtol=1e-5)
    answer = ask_records(record(frames=clip()['frames']), record(samples=tone()))
    assert answer['has_video'].tolist() == [True, False]
    assert answer['has_audio'].tolist() == [False, True]


def scan_bomb() -> bytes:
    data = jpeg(picture(32), progressive=True)
    start = data.rindex(b'\xff\xda')
    return data[:-2] + data[start:-2] * 1000 + data[-2:]


GOOD = clip()['frames']
HUGE = jpeg(np.zeros([8, 8, 3], np.uint8)).replace(b'\x00\x08\x00\x08', b'\x4e\x20\x4e\x20', 1)
BLACK = np.zeros([1200, 2000, 3], np.uint8)
PHOTO = np.random.default_rng(0).integers(0, 256, [1080, 1080, 3]).astype(np.uint8)
FAULTS = [
    ({'frames': [], 'audio': b''}, 'neither frames nor audio'),
    ({'frames': [*GOOD[:3], b'', GOOD[3]]}, r"frames\[3\]: must be a JPEG .* got 0 bytes"),
    ({'frames': [GOOD[0], b'junk']}, r'frames\[1\]: must be a JPEG .* got 4 bytes'),
    ({'frames': [GOOD[0], GOOD[1][:30]]}, r'frames\[1\]: a JPEG with a damaged header'),
    ({'frames': [x[:-40] for x in GOOD]}, 'frames: a JPEG that is cut off, or damaged inside'),
    ({'frames': [GOOD[0], HUGE]}, r'frames\[1\]: at most \d+ pixels, got 20000 x 20000'),
    ({'frames': [GOOD[0], scan_bomb()]}, r'frames\[1\]: at most 12 scans .* got 13 scans or more'),
    ({'frames': [jpeg(BLACK, progressive=True)]}, 'pixels times scans, got 10 .* 2000 x 1200'),
    ({'frames': [jpeg(PHOTO, progressive=True)]}, r'bytes times scans, .* got 10 scans in'),
    ({'frames': [GOOD[0] + bytes(2**21)]}, r'frames\[0\]: at most 2097152 bytes, got'),
    ({'frames_per_second': 0.0}, 'frames_per_second: must be a number from 0.01 to 1000, got 0'),
    ({'frames_per_second': -1.0}, 'got -1'),
    ({'frames_per_second': float('nan')}, 'got nan'),
    ({'frames_per_second': float('inf')}, 'got inf'),
    ({'frames_per_second': 1e30}, r'got 1e\+30'),
    ({'audio': b'junk'}, 'audio: must be a WAV file'),
    ({'audio': to_wav(tone())[:-100]}, 'audio: its header says 32000 bytes'),
    ({'audio': to_wav(tone(), 300_000)}, 'got 300000 Hz'),
]  # fmt: skip


def test_progressive_frames_of_1920_x_1080_are_taken():
    frame = jpeg(np.zeros([1080, 1920, 3], np.uint8), progressive=True)
    assert tf.strings.length(checks.frames_fault(tf.constant([frame]), 'frames')) == 0


def test_a_frame_of_nothing_but_starts_of_scans_is_refused_at_once():
    frames = [GOOD[0] + b'\xff\xda' * 10**6] * 32
    began = time.process_time()
    fault = checks.frames_fault(tf.constant(frames), 'frames').numpy()
    assert time.process_time() - began < 0.5, 'each takes 50 ms where all of them are counted'
    assert fault.startswith(b'frames[0]: at most 12 scans')


@pytest.mark.parametrize(('changes', 'said'), FAULTS, ids=[said for _, said in FAULTS])
def test_one_bad_clip_is_refused_with_its_reason_and_spoils_no_other(ask, scores, changes, said):
    good, bad = clip(), clip(**changes)
    answer = ask(good, bad, good)
    assert answer['error'].tolist()[::2] == [b'', b'']
    np.testing.assert_allclose(answer['scores'][::2], [scores, scores], **SAME)
    assert not answer['scores'][1].any()
    with pytest.raises(ValueError, match=said):
        raise ValueError(answer['error'][1].decode())
    with pytest.raises(tf.errors.InvalidArgumentError, match=f'item 0: .*{said}'):
        ask(bad)
    embedded = ask(good, bad, signature='embed')
    assert embedded['embedding'][0].any() and not embedded['embedding'][1].any()
    assert embedded['error'][1] == answer['error'][1]


WAVE, BYTES, FLOATS = tone(), 'WAVEFORM/feature/bytes', 'WAVEFORM/feature/floats'
FOREIGN = record(without=[BYTES, 'image/encoded'], other=[1])
RECORD_FAULTS = [
    (b'', 'image/encoded: this key is missing'),
    (b'\x92\x03\x05hello', 'image/encoded: this key is missing'),
    (bytes(range(200)), 'examples: neither a tf.train.Example nor'),
    (FOREIGN, 'image/encoded: this key is missing'),
    (record(samples=WAVE, without=['image/encoded']), 'image/encoded: this key is missing'),
    (record(frames=GOOD, without=[BYTES]), f'{BYTES}: this key is missing'),
    (record(), 'neither image/encoded nor WAVEFORM'),
    (record(frames=GOOD, **{'image/fps': [0.0]}), 'image/fps: must be a number .* got 0'),
    (record(frames=GOOD, **{'image/fps': [b'text']}), 'examples: neither'),
    (record(frames=[GOOD[0], b'junk']), r'image/encoded\[1\]: must be a JPEG'),
    (record(**{BYTES: [b'odd']}), f'{BYTES}: must be one value, of int16 samples, got 1 .* 3'),
    (record(**{BYTES: [b'ab', b'ab']}), 'got 2 values'),
    (record(samples=tone(48000)), 'sample_rate: 16000 Hz contradicts .* has 48000 samples'),
    (record(samples=tone(16000), **{'audio/sample_rate': [48000]}), '48000 Hz contradicts .*16000'),
    (record(samples=tone(48000), **{'clip/start/timestamp': [2**21]}), 'end.* must not be before'),
    (record(samples=WAVE, **{'audio/sample_rate': [0]}), 'audio/sample_rate: .* 16000 Hz, got 0'),
    (record(floats=[0.0, float('nan')] * 8000), f'{FLOATS}: samples must be finite .* got 8000'),
    (record(floats=[1e30] * 16000), f'{FLOATS}: samples must be finite and in'),
    (record(floats=WAVE), f'{FLOATS}: samples must be finite and in'),  # of int16
]


@pytest.mark.parametrize(('bad', 'said'), RECORD_FAULTS, ids=[said for _, said in RECORD_FAULTS])
def test_a_record_that_is_none_is_refused_with_its_reason(ask_records, bad, said):
    answer = ask_records(bad, record(frames=GOOD, samples=WAVE))
    assert answer['error'][1] == b'' and answer['scores'][1].any()
    assert not answer['scores'][0].any()
    with pytest.raises(ValueError, match=said):
        raise ValueError(answer['error'][0].decode())
    with pytest.raises(tf.errors.InvalidArgumentError, match='item 0: '):
        ask_records(bad)


def test_a_records_sample_rate_is_honoured(ask_records):
    at_16, at_48 = tone(), tone(48000)
    rate = {'audio/sample_rate': [48000]}
    answer = ask_records(
        record(frames=GOOD, samples=at_16),
        record(frames=GOOD, samples=at_48, **rate),
        record(frames=GOOD, floats=at_48 / 32768, **rate),
    )
    np.testing.assert_allclose(answer['scores'][1:], answer['scores'][[0, 0]], atol=0.02)


def test_inputs_hold_as_many_clips_each(served):
    good = request(clip())
    for name in good:
        more = {**good, name: tf.repeat(good[name], 2, axis=0)}
        with pytest.raises(
            tf.errors.InvalidArgumentError,
            match='frames, frames_per_second, audio must hold as many clips each',
        ):
            served.signatures['clips'](**more)


@pytest.mark.slow
def test_malformed_requests_are_refused_or_marked_within_bounded_memory(served):
    fuzz(served, count=80)
