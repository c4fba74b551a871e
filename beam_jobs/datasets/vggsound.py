"""VGGSound: 200,000 clips of 10 s from YouTube, one of 309 classes each.

`vggsound.csv` has no header: YouTube id, start second, label, `train` or `test`.
"""

from collections.abc import Iterator

from avmae_tf.config.heads import LABEL
from beam_jobs.annotations import Annotation, Published, file_in, filled, read_lines, seconds
from beam_jobs.videos import VideoIndex

HEADS = (LABEL,)  # that its clips have labels for

CLIP_SECONDS = 10.0


def read(annotations: str | None) -> Published:
    """VGGSound by `vggsound.csv`; raises ValueError that names what is missing or wrong."""
    path = file_in(annotations, 'vggsound.csv')
    return Published(_clips(path), {LABEL: ()}, VideoIndex.by_segment)


def _clips(path: str) -> Iterator[Annotation]:
    for where, (video, start, label, split) in read_lines(path, 4):
        filled(video, 'YouTube id', where)
        first = seconds(start, 'start', where)
        yield Annotation(video, split, {LABEL: (label,)}, first, first + CLIP_SECONDS, where=where)
