"""A sweep with the real command: records are drawn, runs trained, measured and told."""

import dataclasses
import math

import pytest

from avmae_tf.sweeps import mini, report, work
from avmae_tf.sweeps.cells import LOSS, TOP1, Cell, Finetuning, Pretraining, Sweep
from avmae_tf.sweeps.runs import in_order, plan
from avmae_tf.sweeps.scales import SCALES

OURS = Pretraining({'objective': 'contrastive'})
SWEEP = Sweep(
    'The smallest',
    (
        Cell('ours', 'AV', Finetuning((OURS,)), TOP1),
        Cell('ours', 'loss', OURS, LOSS),
        Cell('ours', 'retrieval', OURS, 'audio_to_video_recall_at_1'),
    ),
)
SMALL = {'width': 32, 'num_layers': 3, 'num_heads': 2, 'mlp_width': 64}


def small(recipes, **changes):
    return {
        name: recipe.replace(
            backbone=SMALL,
            schedule={**recipe.schedule.model_dump(), 'epochs': 2, 'warmup_epochs': 0.5},
            **changes,
        )
        for name, recipe in recipes.items()
        if '-base' in name
    }


@pytest.mark.slow
def test_a_sweep_ends_with_figures_and_is_not_trained_again(tmp_path, monkeypatch):
    for name, number in {'NUM_CLIPS': 64, 'NUM_LABELLED': 32, 'NUM_EVAL': 32}.items():
        monkeypatch.setattr(mini, name, number)
    scale = dataclasses.replace(
        SCALES['mini'],
        pretraining=small(mini.PRETRAINING),
        finetuning=small(mini.FINETUNING, fusion={'kind': 'bottleneck', 'fusion_layer': 2}),
        epochs=2 / 400,
    )
    said: list[str] = []
    inputs = mini.make_inputs(str(tmp_path / 'data'), said.append)
    planned = plan(SWEEP, scale, seeds=1)
    runs, root = in_order(planned), str(tmp_path / 'root')
    evaluated = [item.run.name for item in planned if item.evaluated]
    work.carry_out(root, runs, inputs, evaluated, said.append)
    found = report.figures(planned, root)
    assert len(found) == 3
    assert all(len(f.values) == 1 and math.isfinite(f.values[0]) for f in found.values())
    report.write_report(SWEEP, planned, root, 'smallest', '')

    monkeypatch.setattr(work, '_COMMAND', ['false'])
    work.carry_out(root, runs, mini.make_inputs(str(tmp_path / 'data'), said.append), evaluated,
                   said.append)  # fmt: skip
    assert report.figures(planned, root) == found
