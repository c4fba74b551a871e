"""What components that run on Beam take with them."""

import pytest
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from tfx.utils import dependency_utils

from components.evaluator.executor import Executor as Evaluator
from components.on_beam import with_one_worker
from components.video_example_gen.executor import Executor as VideoExampleGen


@pytest.mark.parametrize('kind', [Evaluator, VideoExampleGen])
@pytest.mark.parametrize(
    ('options', 'packed'),
    [(['--direct_num_workers=2'], False), (['--runner=FlinkRunner'], True)],
)
def test_tfx_packs_itself_for_workers_elsewhere_alone(kind, options, packed, monkeypatch):
    monkeypatch.setattr(dependency_utils, 'build_ephemeral_package', lambda: 'tfx.tar.gz')
    executor = kind(kind.Context(beam_pipeline_args=options))
    assert executor._beam_pipeline_args[:1] == options
    assert ('--extra_package=tfx.tar.gz' in executor._beam_pipeline_args) == packed


@pytest.mark.parametrize(
    ('options', 'workers', 'mode'),
    [
        (['--direct_running_mode=multi_threading', '--direct_num_workers=0'], 1, 'in_memory'),
        (['--direct_running_mode=multi_threading', '--direct_num_workers=8'], 8, 'multi_threading'),
        (['--runner=FlinkRunner', '--direct_num_workers=0'], 0, 'in_memory'),
    ],
)
def test_one_worker_measures_unless_others_are_asked_for(options, workers, mode):
    found = PipelineOptions(with_one_worker(options)).view_as(DirectOptions)
    assert (found.direct_num_workers, found.direct_running_mode) == (workers, mode)
