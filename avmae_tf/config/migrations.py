"""How descriptions that older versions wrote become those of today, a small function a change.

Descriptions are the JSON files that say what an artifact is (`avmae_tf.config.descriptions`). All
have one version, and one without it is of version 1. A function makes of the content of one file,
of the version that it is listed for, that of the next version; it changes nothing in place.
"""

from collections.abc import Callable

MODEL_FILE, RUN_FILE = 'model.json', 'run.json'
DATASET_FILE, JOB_FILE = 'dataset.json', 'job.json'
MANIFEST_FILE, SHARD_REPORT, REPORT_FILE = 'manifest.json', 'shard report', 'report.json'


def run_of_version_1(run: dict) -> dict:
    """Settings go under the name of their kind, and `source`, a hash of all code, goes."""
    rest = {name: value for name, value in run.items() if name not in ('config', 'source')}
    kind = 'pretrain' if 'decoder' in run['config'] else 'finetune'
    return {**rest, kind: run['config'], 'learning_version': 1}


MIGRATIONS: list[dict[str, Callable[[dict], dict]]] = [
    {RUN_FILE: run_of_version_1},  # from version 1 to version 2, and so on
]


def newest_format() -> int:
    """The format version that this program writes."""
    return 1 + len(MIGRATIONS)


class NewerFormat(ValueError):
    """A later version of this program wrote the file."""


def migrated(file: str, content: dict) -> dict:
    """The content of a description as this version would have written it.

    Raises:
        NewerFormat: a later version wrote it.
        ValueError: it is not what a description of its version is.
    """
    version = content.get('format_version', 1)
    if type(version) is not int or version < 1:
        raise ValueError(f'format_version: must be a whole number from 1, got {version!r}')
    if version > newest_format():
        raise NewerFormat(
            f'has format version {version}, and this program reads those up to {newest_format()}; '
            'upgrade avmae-tf'
        )
    content = {name: value for name, value in content.items() if name != 'format_version'}
    try:
        for step in MIGRATIONS[version - 1 :]:
            content = step.get(file, dict)(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'no description of format version {version}: {error!r}') from None
    return {**content, 'format_version': newest_format()}
