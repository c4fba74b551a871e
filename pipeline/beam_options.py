"""Options of Beam, for the components that run on it: on their own machine, or where these say."""

from beam_jobs.runners import check_options
from pipeline.config import PipelineConfig
from pipeline.targets import Option, Target

THIS_MACHINE: dict[str, Option] = {
    'direct_running_mode': 'multi_threading',
    'direct_num_workers': 0,  # as many as there are cores
}
DATAFLOW, GCS = 'dataflow', 'gs://'
DATAFLOW_NEEDS = {
    'project': 'the project that it runs in',
    'region': 'where it runs',
    'temp_location': f'a folder in a bucket ({GCS}) for files of its own',
    'sdk_container_image': 'an image with this package for its workers (make image-beam)',
}


def beam_args(config: PipelineConfig, target: Target) -> list[str]:
    """The options of a target as Beam's command line has them."""
    args = []
    for name, value in _options(config, target).items():
        if value is True:
            args.append(f'--{name}')
        elif value is not False:
            args.append(f'--{name}={value}')
    return args


def check_beam(config: PipelineConfig, target: Target) -> None:
    """Raises ValueError, naming the field, where Beam could not run by the options of a target."""
    where, options = f'targets.{target}.beam', _options(config, target)
    try:
        check_options(beam_args(config, target))
    except ValueError as error:
        raise ValueError(f'{where}: {error}') from None
    if not _is_on_dataflow(options):
        return
    for name, what in DATAFLOW_NEEDS.items():
        if not options.get(name):
            raise ValueError(f'{where}.{name}: is missing; Dataflow needs {what}')
    places = {
        f'{where}.{name}': options.get(name) for name in ('temp_location', 'staging_location')
    }
    for field, path in {**places, 'root': config.root, 'data.videos': config.data.videos}.items():
        if path and not str(path).startswith(GCS):
            raise ValueError(
                f'{field}: workers of Dataflow see Cloud Storage ({GCS}) alone, got {path}'
            )


def _options(config: PipelineConfig, target: Target) -> dict[str, Option]:
    options = config.targets.of(target).beam
    return options if _is_on_dataflow(options) else {**THIS_MACHINE, **options}


def _is_on_dataflow(options: dict[str, Option]) -> bool:
    return DATAFLOW in str(options.get('runner')).casefold()
