"""The demo's settings file is the user's as soon as it is edited."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from avmae_tf.cli import demo as module
from avmae_tf.cli import pipelines
from avmae_tf.data import synthetic


@pytest.fixture
def demo(monkeypatch, tmp_path):
    """Calls the verb, which stops where its pipeline would run: its settings, words and error."""

    def stop(path):
        raise KeyError('stop')

    monkeypatch.setattr(synthetic, 'write_clips', lambda *args, **kwargs: '')
    monkeypatch.setattr(pipelines, 'run_pipeline', stop)

    def call(*arguments) -> tuple[Path, str, Exception]:
        workdir = tmp_path / 'demo'
        done = CliRunner().invoke(module.demo, ['--workdir', str(workdir), *arguments])
        return workdir / 'pipeline.yaml', done.output, done.exception

    return call


def test_settings_are_written_anew_until_they_are_edited(demo):
    settings, _, _ = demo()
    assert 'min_top1: 0.375' in settings.read_text()
    demo('--min-top1', '0.5')
    assert 'min_top1: 0.5' in settings.read_text()
    edited = settings.read_text().replace('shorter_side_px: 48', 'shorter_side_px: 64')
    settings.write_text(edited)
    _, said, error = demo()
    assert settings.read_text() == edited and isinstance(error, KeyError)
    assert 'was edited and is kept' in said
    _, _, error = demo('--min-top1', '0.2')
    assert settings.read_text() == edited
    assert isinstance(error, ValueError) and 'set its gate.min_top1' in str(error)
