"""A job takes over what has not changed since an earlier one, and its bytes are as from anew."""

import csv
import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from avmae_tf.config import MediaSpec
from avmae_tf.data.dataset import load_dataset
from avmae_tf.data.record_writer import FORMATS
from beam_jobs import video_to_records
from beam_jobs.convert import convert
from beam_jobs.datasets import build_manifest
from beam_jobs.manifests import Manifest, Row
from beam_jobs.shards import MIN_SHARDS, SHARD_BYTES, plan_shards, report_path

MEDIA = MediaSpec(shorter_side_px=32)


def rows_of(numbers, megabytes: int, labelled: int = 0) -> tuple[Row, ...]:
    """Videos with records of about so many MB each, the first of them labelled."""
    size = int(megabytes * 2**20 / 1.75)
    return tuple(
        Row(
            *(f'{n}.mp4',) * 3, 'train', {'label': ('a',)} if n < labelled else {},
            size_bytes=size, modified_ns=1,
        )
        for n in numbers
    )  # fmt: skip


def planned(rows: tuple[Row, ...]) -> set:
    return {(plan.path, str(plan.rows)) for plan in plan_shards(Manifest(rows, {'label': ('a',)}))}


@pytest.mark.parametrize('labelled', [0, 700])
def test_a_clip_that_comes_or_goes_changes_no_shard_but_its_own(labelled):
    before = planned(rows_of(range(1000), 10, labelled))
    after = planned(rows_of(range(1001), 10, labelled))
    assert len(before) == len(after) >= 48
    assert len(before - after) == len(after - before) == 1


def test_shards_are_half_to_wholly_full_however_many_clips_there_are():
    for count in (10, 400, 1000, 1800):
        plans = plan_shards(Manifest(rows_of(range(count), 10), {}))
        share = count * 10 * 2**20 / len(plans) / SHARD_BYTES
        assert len(plans) == MIN_SHARDS or 0.5 < share <= 1
        assert sum(len(plan.rows) for plan in plans) == count


def test_twice_as_many_clips_make_two_shards_of_each(tmp_path):
    few, many = (plan_shards(Manifest(rows_of(range(n), 10), {})) for n in (600, 1200))
    assert len(many) == 2 * len(few)
    for plan in many:
        assert {row.key for row in few[plan.index // 2].rows} >= {
            row.key for row in plan.rows if int(row.path[:-4]) < 600
        }


@pytest.fixture(scope='module')
def weeks(clips, tmp_path_factory):
    """Folders of videos of two weeks: one comes, one goes, one changes, one is labelled anew."""
    videos = tmp_path_factory.mktemp('weeks') / 'videos'
    names = [p.name for p in sorted((clips.parent / 'train').glob('*.mp4'))[:15]]
    videos.mkdir()
    for name in names:
        shutil.copy2(clips.parent / 'train' / name, videos)
    labels = {name: 'bc'[number % 2] for number, name in enumerate(names[:10])}
    labels['gone.mp4'] = 'b'

    def manifest(labels: dict[str, str]) -> Manifest:
        path = videos.parent / f'{len(labels)}.csv'
        with open(path, 'w', newline='') as f:
            csv.writer(f).writerows([('path', 'label'), *labels.items()])
        return build_manifest(str(videos), str(path))

    first = manifest(labels)
    labels.pop(names[1])
    labels |= {names[2]: 'a', names[3]: '', **dict.fromkeys(names[10:14], 'c')}  # a new class: 'a'
    os.utime(videos / names[4])  # of the same size
    return first, manifest(labels), {names[4], *names[10:14], 'gone.mp4'}


def converted_again(monkeypatch) -> set[str]:
    """Paths of the rows that are converted from now on."""
    paths, real = set(), video_to_records.convert_rows

    def convert_rows(rows, job):
        paths.update(row.path for row in rows)
        return real(rows, job)

    monkeypatch.setattr(video_to_records, 'convert_rows', convert_rows)
    return paths


def files(out: Path) -> dict[str, bytes]:
    """All that must not depend on what went before."""
    names = [*out.glob('Split-*/*'), *(out / n for n in ('dataset.json', 'noted.csv'))]
    return {str(path.relative_to(out)): path.read_bytes() for path in names}


@pytest.mark.parametrize('record_format', FORMATS)
def test_only_what_is_new_is_converted_and_the_bytes_are_as_from_anew(
    weeks, tmp_path, monkeypatch, record_format
):
    before, after, changed = weeks
    settings = {'record_format': record_format}
    first, second, anew = (tmp_path / name for name in ('first', 'second', 'anew'))
    assert convert(before, str(first), MEDIA, num_shards=3, **settings).taken_over == 0
    convert(after, str(anew), MEDIA, num_shards=5, **settings)
    paths = converted_again(monkeypatch)
    summary = convert(
        after, str(second), MEDIA, num_shards=5, earlier=[str(tmp_path), str(first)], **settings
    )
    assert paths == changed
    assert summary.clips == 13 and summary.taken_over == 13 - (len(changed) - 1)
    assert files(second) == files(anew)
    assert summary.reasons == {'missing': 1}


def test_a_shard_without_a_change_is_the_same_file(weeks, tmp_path, monkeypatch):
    before = weeks[0]
    first, second = tmp_path / 'first', tmp_path / 'second'
    convert(before, str(first), MEDIA)
    paths = converted_again(monkeypatch)
    lost = next(row for row in before.rows if row.is_found)
    fewer = dataclasses.replace(before, rows=tuple(row for row in before.rows if row != lost))
    summary = convert(fewer, str(second), MEDIA, earlier=[str(first)])
    shards = [path.relative_to(second) for path in second.glob('Split-*/*')]
    linked = [path for path in shards if (first / path).samefile(second / path)]
    assert len(linked) >= len(shards) - 1 >= 3 and paths <= {'gone.mp4'}
    assert summary.taken_over == summary.clips == 9 and summary.reasons == {'missing': 1}


@pytest.mark.parametrize('harm', ['cut', 'damaged', 'no report', 'bad report', 'killed', 'gone'])
def test_what_an_earlier_job_lost_is_converted_again(weeks, tmp_path, monkeypatch, harm):
    before, after, _ = weeks
    first, second, anew = (tmp_path / name for name in ('first', 'second', 'anew'))
    convert(before, str(first), MEDIA, num_shards=1)
    convert(after, str(anew), MEDIA, num_shards=1)
    (shard,) = first.glob('Split-train/*')
    report = first / report_path(str(shard.relative_to(first)))
    match harm:
        case 'cut':
            os.truncate(shard, shard.stat().st_size // 2)
        case 'damaged':
            content = bytearray(shard.read_bytes())
            content[len(content) // 2] ^= 1
            shard.write_bytes(content)
        case 'no report':
            report.unlink()
        case 'bad report':
            report.write_text('{')
        case 'killed':
            (first / 'dataset.json').unlink()
        case 'gone':
            shutil.rmtree(first)
    summary = convert(after, str(second), MEDIA, num_shards=1, earlier=[str(first)])
    assert files(second) == files(anew)
    most = summary.splits['eval'] + summary.splits['train'] - 5
    assert summary.taken_over <= most and (summary.taken_over > 0) == (harm != 'gone')


@pytest.mark.parametrize(
    'other', [{'media': MediaSpec(shorter_side_px=24)}, {'record_format': 'dmvr'}]
)
def test_records_of_other_settings_are_not_taken_over(weeks, tmp_path, other):
    before = weeks[0]
    settings = {'media': MEDIA, **other}
    convert(before, str(tmp_path / 'first'), MEDIA)
    summary = convert(
        before, str(tmp_path / 'second'), **settings, earlier=[str(tmp_path / 'first')]
    )
    assert summary.taken_over == 0
    assert load_dataset(str(tmp_path / 'second')).media == settings['media']
