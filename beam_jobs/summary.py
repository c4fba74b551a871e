"""What a conversion did: its summary, and the counts of it that stay beside the records.

OUT/set_aside.csv      clips that could not be used: key, path, reason, detail
OUT/noted.csv          clips that were used, but are silent, cut short and so on: key, path, status
OUT/report.json        counts
"""

import csv
import dataclasses
import itertools
import json
import os
from typing import ClassVar

from avmae_tf.config.descriptions import Description
from avmae_tf.config.migrations import REPORT_FILE
from avmae_tf.storage import open_text, read_settings

SET_ASIDE_FILE, NOTED_FILE = 'set_aside.csv', 'noted.csv'
NUM_NAMED = 20  # clips set aside that a summary names; the file names all


class Counts(Description):
    """What `report.json` holds."""

    FILE: ClassVar[str] = REPORT_FILE
    clips: int
    splits: dict[str, int]
    notes: dict[str, int]
    set_aside: dict[str, int]
    taken_over: int = 0


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a conversion did."""

    clips: int
    set_aside: tuple[dict, ...]  # the first of them: key, path, reason, detail
    reasons: dict[str, int]  # clips set aside
    splits: dict[str, int]  # clips
    notes: dict[str, int]  # status -> clips
    taken_over: int = 0  # of the clips: records of an earlier job

    def describe(self, out: str) -> list[str]:
        """What was not as it should be, a line each; nothing where all was well."""
        lines = []
        if self.taken_over:
            lines.append(f'{self.taken_over} of {self.clips} clips as an earlier job left them')
        if self.reasons:
            counts = ', '.join(f'{count} {reason}' for reason, count in self.reasons.items())
            what = f'set aside {self.num_set_aside} clips: {counts}'
            lines.append(f'{what}; see {os.path.join(out, SET_ASIDE_FILE)}')
        if self.notes:
            counts = ', '.join(f'{count} {status}' for status, count in self.notes.items())
            lines.append(f'used, but noted: {counts}; see {os.path.join(out, NOTED_FILE)}')
        return lines

    @property
    def num_set_aside(self) -> int:
        return sum(self.reasons.values())

    def to_json(self) -> str:
        """What `report.json` holds."""
        counts = Counts(
            clips=self.clips,
            splits=self.splits,
            notes=self.notes,
            set_aside=self.reasons,
            taken_over=self.taken_over,
        )
        return json.dumps(counts.model_dump(), indent=2)


def read_summary(out: str) -> Summary:
    """The summary of the conversion whose records are in `out`.

    Raises:
        ValueError: a file of it is missing or damaged.
    """
    path = os.path.join(out, REPORT_FILE)
    with open_text(path):  # says so where it is not there
        counts = read_settings(path, Counts, 'convert the clips again')
    with open_text(os.path.join(out, SET_ASIDE_FILE)) as f:
        first = tuple(itertools.islice(csv.DictReader(f), NUM_NAMED))
    return Summary(
        *(counts.clips, first, counts.set_aside, counts.splits, counts.notes, counts.taken_over)
    )
