"""The command and a small pipeline, as processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
COMPONENTS = 'VideoExampleGen', 'Pretrainer', 'Finetuner', 'Evaluator', 'Pusher'
SETTINGS = """
name: small
root: .
data: {videos: clips, annotations: clips/annotations.csv, media: {shorter_side_px: 64}}
start: {pretrain: {recipe: demo, schedule: {epochs: 3, warmup_epochs: 0.5}}}
finetune: {recipe: demo, schedule: {epochs: EPOCHS, warmup_epochs: 0.5}}
gate: {min_top1: GATE, max_loss_of_top1: 1.0}
run: {steps_per_loop: 4, checkpoint_every_loops: 1}
"""


def avmae(*arguments, **options):
    return subprocess.run(
        [BIN / 'avmae', *map(str, arguments)], capture_output=True, text=True, **options
    )


def write_pipeline(folder: Path, *, gate=0.01, epochs=2) -> Path:
    path = folder / 'pipeline.yaml'
    path.write_text(SETTINGS.replace('GATE', str(gate)).replace('EPOCHS', str(epochs)))
    return path


def run_pipeline(folder: Path, **settings):
    return avmae('pipeline', 'run', '--config', write_pipeline(folder, **settings))


def versions(folder: Path) -> list[str]:
    serving = folder / 'serving/small'
    return sorted(os.listdir(serving)) if serving.exists() else []
