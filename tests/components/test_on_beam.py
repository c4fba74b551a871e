"""What components that run on Beam take with them."""

import pytest
from tfx.utils import dependency_utils

from components.evaluator.executor import Executor as Evaluator
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
