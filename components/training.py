"""What the components that train have in common."""

from tfx.types.standard_artifacts import Model

from avmae_tf import console
from avmae_tf.config import RunSpec
from avmae_tf.training.runs import Trained, Training


def train(training: Training, work_dir: str, run: str, model: Model) -> Trained:
    """Trains in its folder below `work_dir`; the artifact `model` gets the scalars and the logs.

    `run` is a RunSpec as JSON.
    """
    with console.progress(training.task.name, 'steps') as report:
        trained = training.run_below(
            work_dir,
            RunSpec.from_json(run),
            progress=report,
            say=lambda line: console.say(f'  {line}'),
        )
    for name, value in trained.scalars.items():
        model.set_float_custom_property(name, value)
    model.set_string_custom_property('logs', trained.logs)
    return trained
