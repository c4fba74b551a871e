"""A pipeline run with its ending: pushed, or refused with the reason."""

from avmae_tf import console
from avmae_tf.cli import Failed


def run_pipeline(path: str):
    """Runs the pipeline of a YAML file locally and returns its outcome.

    Raises:
        Failed: a component failed, or the gate refused the model.
    """
    from avmae_tf.training import devices

    devices.configure_cpu_devices()
    from pipeline import local_runner
    from pipeline.config import load_config

    config = load_config(path)
    try:
        outcome = local_runner.run(config, console.say)
    except ValueError:
        raise
    except Exception as error:
        log = local_runner.log_path(config)
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Failed(f'the pipeline failed: {first}; see {log}') from error
    if not outcome.blessed:
        why = '; '.join(map(str, outcome.shortfalls()))
        raise Failed(f'not pushed: {why}; report in {outcome.report}')
    return outcome
