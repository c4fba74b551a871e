"""Options of Beam by target: what Dataflow needs is there, or the field that lacks is named."""

import pytest

from pipeline.beam_options import beam_args, check_beam
from pipeline.config import PipelineConfig

IN_BUCKET = {'root': 'gs://b/root', 'videos': 'gs://b/clips'}


def args(target: str, beam: dict, *, root='/root', videos='/clips', **settings) -> list[str]:
    config = PipelineConfig(
        root=root,
        data={'videos': videos},
        start='scratch',
        finetune='demo',
        targets={target: {**settings, 'beam': beam}},
    )
    check_beam(config, target)
    return beam_args(config, target)


def test_without_a_runner_the_cores_of_the_machine_do_the_work():
    mode, workers = '--direct_running_mode=multi_threading', '--direct_num_workers=0'
    assert args('local', {}) == args('kubeflow', {}, image='i') == [mode, workers]
    assert args('local', {'direct_num_workers': 3}) == [mode, '--direct_num_workers=3']


WHOLE = {
    'runner': 'DataflowRunner',
    'project': 'p',
    'region': 'r',
    'temp_location': 'gs://b/tmp',
    'sdk_container_image': 'i',
}


@pytest.mark.parametrize('field', ['project', 'region', 'temp_location', 'sdk_container_image'])
def test_what_dataflow_lacks_is_named(field):
    assert len(args('local', WHOLE, **IN_BUCKET)) == 5
    beam = {name: value for name, value in WHOLE.items() if name != field}
    with pytest.raises(ValueError, match=rf'^targets.local.beam.{field}: is missing; Dataflow'):
        args('local', beam, **IN_BUCKET)


@pytest.mark.parametrize(
    ('field', 'place'),
    [
        ('root', {'root': '/root'}),
        ('data.videos', {'videos': 's3://b/clips'}),
        ('targets.local.beam.temp_location', {'beam': {'temp_location': '/tmp'}}),
        ('targets.local.beam.staging_location', {'beam': {'staging_location': 'b/staging'}}),
    ],
)
def test_workers_of_dataflow_see_cloud_storage_alone(field, place):
    beam = {**WHOLE, 'runner': 'dataflow', **place.get('beam', {})}
    paths = {**IN_BUCKET, **{k: v for k, v in place.items() if k != 'beam'}}
    with pytest.raises(ValueError, match=rf'^{field}: workers of Dataflow see Cloud Storage'):
        args('local', beam, **paths)


def test_an_option_that_beam_does_not_know_is_named():
    with pytest.raises(ValueError, match=r'^targets.local.beam: --workers=3: no option of Apache'):
        args('local', {'workers': 3})
