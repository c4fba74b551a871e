"""Generated clips: repeatable, tied across modalities, readable, resumable."""

import csv

import av
import numpy as np
import pytest

from avmae_tf.config import SAMPLE_RATE_HZ
from avmae_tf.data.synthetic import CLASSES, ClipStyle, draw_clip, encode_mp4, write_clips

CLEAN = ClipStyle(picture_noise=0.0, sound_noise=0.0, num_distractors=0, frames_per_second=50.0)
SMALL = ClipStyle(size_px=16, seconds=1.0)
PARTIALS = (1.0, 2.0, 2.76, 3.0, 5.0, 5.4, 7.0, 8.93)


def body_mask(frame):
    """The shape's pixels: everything else in a clean clip is darker."""
    return frame.max(axis=-1) > 200


def silhouette(frame):
    """The shape scaled to fill 24 x 24 pixels, bool."""
    rows, columns = np.nonzero(body_mask(frame))
    y = np.linspace(rows.min(), rows.max(), 24).round().astype(int)
    x = np.linspace(columns.min(), columns.max(), 24).round().astype(int)
    return body_mask(frame)[np.ix_(y, x)]


def first_flash(frames):
    """Index of the first frame that is suddenly brighter."""
    return int(np.argmax(np.diff(frames.mean(axis=(1, 2, 3))) > 3.0)) + 1


def first_onset(waveform):
    """Index of the first sample that sounds."""
    return int(np.argmax(np.abs(waveform) > 0.005))


def first_spectrum(waveform):
    """Power of the first note's first 0.3 seconds in bins of 1 Hz, and its pitch in Hz."""
    note = waveform[first_onset(waveform) :][: int(0.3 * SAMPLE_RATE_HZ)]
    power = np.abs(np.fft.rfft(note * np.hanning(note.size), SAMPLE_RATE_HZ)) ** 2
    return power, int(np.argmax(power[:1000]))


def partial_shares(waveform):
    """Share of the first note's power near each of `PARTIALS`."""
    power, pitch = first_spectrum(waveform)
    near = [power[round(r * pitch) - 20 : round(r * pitch) + 20].sum() for r in PARTIALS]
    return np.array(near) / power.sum()


def media_of(path):
    """Frames, their times in seconds, and the waveform of a file."""
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
    with av.open(str(path)) as container:
        samples = [f.to_ndarray()[0] for f in container.decode(audio=0)]
    frames = np.stack([f.to_ndarray(format='rgb24') for f in decoded])
    return frames, [f.time for f in decoded], np.concatenate(samples)


def names_in(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file())


def test_the_same_arguments_give_the_same_clip_and_others_another():
    frames, waveform = draw_clip(5, 1)
    again, waveform_again = draw_clip(5, 1)
    np.testing.assert_array_equal(frames, again)
    np.testing.assert_array_equal(waveform, waveform_again)
    for label, seed in ((5, 2), (6, 1)):
        other, other_waveform = draw_clip(label, seed)
        assert np.abs(frames.astype(int) - other).mean() > 5
        assert np.corrcoef(waveform, other_waveform)[0, 1] < 0.5


@pytest.mark.parametrize(
    'style',
    [ClipStyle(), ClipStyle(size_px=112, frames_per_second=12.5, seconds=3.2), SMALL],
    ids=['default', 'large', 'small'],
)
def test_a_clip_has_the_extent_that_its_style_says(style):
    frames, waveform = draw_clip(0, 0, style)
    num_frames = round(style.seconds * style.frames_per_second)
    assert frames.shape == (num_frames, style.size_px, style.size_px, 3)
    assert frames.dtype == np.uint8
    assert waveform.shape == (round(style.seconds * 16_000),)
    assert waveform.dtype == np.float32
    assert 0.03 < np.abs(waveform).max() <= 1.0


def test_sixteen_classes_are_every_shape_with_every_timbre():
    shapes, timbres = zip(*(name.split('+') for name in CLASSES), strict=True)
    assert len(set(CLASSES)) == 16
    assert len(set(shapes)) == len(set(timbres)) == 4


def test_clips_of_a_shape_look_alike_whatever_the_timbre():
    templates = np.stack([silhouette(draw_clip(4 * k, 100, CLEAN)[0][0]) for k in range(4)])
    for label in range(16):
        for seed in range(3):
            mask = silhouette(draw_clip(label, seed, CLEAN)[0][0])
            assert np.argmax((templates == mask).mean(axis=(1, 2))) == label // 4, (label, seed)


def test_clips_of_a_timbre_sound_alike_whatever_the_shape():
    templates = np.stack([partial_shares(draw_clip(k, 100, CLEAN)[1]) for k in range(4)])
    for label in range(16):
        for seed in range(3):
            shares = partial_shares(draw_clip(label, seed, CLEAN)[1])
            distances = np.linalg.norm(templates - shares, axis=1)
            assert np.argmin(distances) == label % 4, (label, seed, shares)


def lead_seconds(label, seed, style):
    """How much later the first note is heard than the first flash is seen."""
    frames, waveform = draw_clip(label, seed, style)
    return first_onset(waveform) / SAMPLE_RATE_HZ - first_flash(frames) / style.frames_per_second


def test_the_first_note_begins_with_the_first_flash():
    leads = np.array([lead_seconds(label, seed, CLEAN) for label in range(16) for seed in (0, 1)])
    assert leads.min() >= -1 / 50  # the flash shows in the first frame after the impact
    assert leads.max() <= 0.005


def test_notes_that_do_not_coincide_begin_elsewhere():
    apart = ClipStyle(**{**vars(CLEAN), 'coincide_ratio': 0.0})
    leads = np.array([lead_seconds(label, 0, apart) for label in range(16)])
    assert np.mean(np.abs(leads) > 1 / 50) > 0.7


def test_place_is_pitch_and_flash_is_loudness():
    places, pitches, flashes, loudness = [], [], [], []
    for seed in range(40):
        frames, waveform = draw_clip(CLASSES.index('square+flute'), seed, CLEAN)
        k, onset = first_flash(frames), first_onset(waveform)
        places.append(np.nonzero(body_mask(frames[k]))[1].mean())
        pitches.append(np.log2(first_spectrum(waveform)[1]))
        brightness = frames.mean(axis=(1, 2, 3))
        flashes.append(brightness[k] - brightness[k - 1])
        loudness.append(np.abs(waveform[onset : onset + 800]).max())
    assert np.corrcoef(places, pitches)[0, 1] > 0.95
    assert np.corrcoef(flashes, loudness)[0, 1] > 0.8


def test_an_mp4_gives_back_the_frames_and_the_sound_in_place(tmp_path):
    frames, waveform = draw_clip(CLASSES.index('ring+clarinet'), 3)
    encode_mp4(tmp_path / 'clip.mp4', frames, waveform, frames_per_second=8.0)
    decoded, times, heard = media_of(tmp_path / 'clip.mp4')
    assert decoded.shape == frames.shape
    assert times == [k / 8 for k in range(16)]
    assert np.abs(decoded.astype(int) - frames).mean() < 8
    assert 0 <= heard.size - waveform.size < 1024  # AAC fills its last frame with silence
    assert np.corrcoef(heard[: waveform.size], waveform)[0, 1] > 0.99
    with av.open(str(tmp_path / 'clip.mp4')) as container:
        assert container.duration == 2_000_000
        assert container.streams.audio[0].rate == SAMPLE_RATE_HZ
        assert container.streams.audio[0].channels == 1


def test_a_failed_encoding_leaves_nothing_behind_and_harms_nothing(tmp_path):
    path = tmp_path / 'clip.mp4'
    frames, waveform = draw_clip(0, 0, SMALL)
    with pytest.raises(ValueError):
        encode_mp4(path, frames[..., :2], waveform, frames_per_second=8.0)
    assert names_in(tmp_path) == []
    encode_mp4(path, frames, waveform, frames_per_second=8.0)
    whole = path.read_bytes()
    with pytest.raises(ValueError):
        encode_mp4(path, frames[..., :2], waveform, frames_per_second=8.0)
    assert names_in(tmp_path) == ['clip.mp4']
    assert path.read_bytes() == whole


def test_the_table_lists_balanced_classes_and_files_that_all_differ(tmp_path):
    steps = []
    table = tmp_path / 'new' / 'clips' / 'annotations.csv'
    written = write_clips(
        table.parent,
        num_train=32,
        num_eval=16,
        style=SMALL,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert written == str(table)
    assert steps == [(k, 48) for k in range(1, 49)]
    with open(table, newline='') as lines:
        reader = csv.DictReader(lines)
        rows = list(reader)
    assert reader.fieldnames == ['path', 'label', 'split']
    for split, each in (('train', 2), ('eval', 1)):
        labels = [row['label'] for row in rows if row['split'] == split]
        assert sorted(labels) == sorted(CLASSES * each)
    paths = sorted(row['path'] for row in rows)
    assert names_in(table.parent) == sorted([*paths, 'annotations.csv', 'clips.json'])
    assert len({(table.parent / path).read_bytes() for path in paths}) == 48


def test_an_interrupted_call_is_taken_up_where_it_stopped(tmp_path):
    def stop(done, total):
        if done == 5:
            raise KeyboardInterrupt

    request = {'num_train': 8, 'num_eval': 2, 'seed': 3, 'style': SMALL}
    with pytest.raises(KeyboardInterrupt):
        write_clips(tmp_path / 'a', **request, progress=stop)
    held = names_in(tmp_path / 'a')
    assert len(held) == 6 and 'annotations.csv' not in held
    written = {name: (tmp_path / 'a' / name).stat().st_mtime_ns for name in held}
    write_clips(tmp_path / 'a', **request)
    assert {name: (tmp_path / 'a' / name).stat().st_mtime_ns for name in held} == written

    write_clips(tmp_path / 'b', **request)
    assert names_in(tmp_path / 'a') == names_in(tmp_path / 'b')
    for name in names_in(tmp_path / 'a'):
        assert (tmp_path / 'a' / name).read_bytes() == (tmp_path / 'b' / name).read_bytes()


@pytest.mark.parametrize(
    'change',
    [{'seed': 1}, {'num_train': 3}, {'style': ClipStyle(size_px=32, seconds=1.0)}],
    ids=lambda change: next(iter(change)),
)
def test_a_folder_of_other_clips_is_refused_and_left_alone(tmp_path, change):
    request = {'num_train': 2, 'num_eval': 1, 'style': SMALL}
    write_clips(tmp_path, **request)
    before = {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path)}
    with pytest.raises(ValueError, match=f'{next(iter(change))}.*another folder') as refusal:
        write_clips(tmp_path, **{**request, **change})
    assert str(tmp_path) in str(refusal.value)
    assert {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path)} == before


@pytest.mark.parametrize('text', ['{"design"', '[]', ''])
def test_a_folder_whose_clips_json_is_damaged_is_refused_by_name(tmp_path, text):
    (tmp_path / 'clips.json').write_text(text)
    with pytest.raises(ValueError, match=rf'{tmp_path} is not empty .*clips.json'):
        write_clips(tmp_path, num_train=1, num_eval=0, style=SMALL)
    assert (tmp_path / 'clips.json').read_text() == text


def test_a_file_in_the_place_of_the_folder_of_clips_is_refused_by_name(tmp_path):
    (tmp_path / 'clips').write_text('mine')
    with pytest.raises(ValueError, match=rf'{tmp_path}/clips: must be a folder to write to'):
        write_clips(tmp_path / 'clips', num_train=1, num_eval=0, style=SMALL)


def test_a_folder_of_somebody_elses_files_is_refused(tmp_path):
    (tmp_path / 'annotations.csv').write_text('path,label\n')
    with pytest.raises(ValueError, match='not empty'):
        write_clips(tmp_path, num_train=1, num_eval=0, style=SMALL)
    assert names_in(tmp_path) == ['annotations.csv']


@pytest.mark.parametrize(
    'field, value',
    [
        ('size_px', 8),
        ('frames_per_second', 2.0),
        ('seconds', 0.5),
        ('picture_noise', -0.1),
        ('sound_noise', float('nan')),
        ('num_distractors', -1),
        ('coincide_ratio', 1.5),
    ],
)
def test_an_illegal_style_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f'{field} must be in .*, got {value}'):
        ClipStyle(**{field: value})


def test_labels_and_counts_out_of_range_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r'label must be in \[0, 16\), got 16'):
        draw_clip(16, 0)
    with pytest.raises(ValueError, match='seed must be at least 0, got -1'):
        write_clips(tmp_path, num_train=1, num_eval=0, seed=-1)
    for counts in ((0, 0), (-1, 4)):
        with pytest.raises(ValueError, match='numbers of clips'):
            write_clips(tmp_path, num_train=counts[0], num_eval=counts[1])
    assert names_in(tmp_path) == []
