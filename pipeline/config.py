"""Everything a pipeline run depends on, in one YAML file."""

import os
from typing import Annotated, Any

import pydantic

from avmae_tf.config import RunSpec, first_error, read_yaml
from avmae_tf.storage import open_text, path_in
from components.run_parameters.settings import PATHS, RunSettings
from pipeline.targets import Targets


class PipelineConfig(RunSettings):
    """A pipeline. `root` holds everything that it writes."""

    name: Annotated[str, pydantic.Field(pattern=r'^[a-z][a-z0-9_-]*$')] = 'avmae'
    root: str
    run: RunSpec = RunSpec()
    targets: Targets = Targets()
    metadata: str | None = None  # of the target local; the others have their own
    notify: Annotated[str | None, pydantic.Field(pattern='^https?://')] = None  # of what fails

    @pydantic.model_validator(mode='before')
    @classmethod
    def _pretrain_is_a_start(cls, settings: Any) -> Any:
        """Files that are older than `start` have `pretrain` in its place."""
        if not (isinstance(settings, dict) and 'pretrain' in settings):
            return settings
        if 'start' in settings:
            raise ValueError(
                'start and pretrain say the same, and both are given; give start: '
                '{pretrain: RECIPE} alone'
            )
        others = {name: value for name, value in settings.items() if name != 'pretrain'}
        return {**others, 'start': {'pretrain': settings['pretrain']}}

    @property
    def settings(self) -> RunSettings:
        """What may change from run to run, alone."""
        return RunSettings(**{name: getattr(self, name) for name in RunSettings.model_fields})

    @property
    def pipeline_root(self) -> str:
        """Artifacts, a folder a component."""
        return os.path.join(self.root, 'pipeline')

    @property
    def work_dir(self) -> str:
        """Stable folders of work that may be killed and goes on; TensorBoard looks here."""
        return os.path.join(self.root, 'work')

    @property
    def manifests(self) -> str:
        """A folder for each state that videos and annotations were in."""
        return os.path.join(self.root, 'manifests')

    @property
    def outcomes(self) -> str:
        """A file for each run, that says how it ended."""
        return os.path.join(self.root, 'outcomes')

    @property
    def serving(self) -> str:
        """Where TF Serving finds numbered versions."""
        return os.path.join(self.root, 'serving', self.name)


def load_config(path: str, **changes: Any) -> PipelineConfig:
    """Reads a YAML file; its relative paths are below its own folder.

    Raises:
        ValueError: it cannot be read; names the file, the field and the rule.
    """
    try:
        with open_text(path) as f:
            settings = read_yaml(f, path) or {}
        if not isinstance(settings, dict):
            raise ValueError(f'{path}: must be fields with values, got {settings!r:.100}')
        config = PipelineConfig.model_validate({**settings, **changes})
    except pydantic.ValidationError as error:
        raise ValueError(f'{path}: {first_error(error)}') from None
    named = {name: getattr(config.data, name) for _, name in (x.split('.') for x in PATHS)}
    data = config.data.replace(**{k: path_in(path, v) for k, v in named.items() if v is not None})
    start = config.start.replace(models=tuple(path_in(path, x) for x in config.start.models))
    metadata = config.metadata and path_in(path, config.metadata)
    return config.replace(
        root=path_in(path, config.root), data=data, start=start, metadata=metadata
    )
