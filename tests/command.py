"""The command and a small pipeline, as processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

from avmae_tf.training.devices import CPU_DEVICES

BIN = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, CPU_DEVICES: '1'}  # a user's: each device traces the step once more
CACHED = 'VideoExampleGen', 'Pretrainer', 'Finetuner', 'Evaluator'
COMPONENTS = *CACHED, 'Pusher'  # which looks at what is served, every time
SETTINGS = """
name: small
root: .
data: {videos: clips, annotations: clips/annotations.csv, media: {shorter_side_px: 64}}
start:
  pretrain:
    recipe: demo
    backbone: {num_layers: 2, mlp_width: 96}
    decoder: {num_layers: 1}
    schedule: {epochs: 3, warmup_epochs: 0.5}
finetune:
  recipe: demo
  backbone: {num_layers: 2, mlp_width: 96}
  fusion: {kind: bottleneck, fusion_layer: 1}
  schedule: {epochs: EPOCHS, warmup_epochs: 0.5}
gate: {min_top1: GATE, max_loss_of_top1: 1.0}
run: {steps_per_loop: 4, checkpoint_every_loops: 1, pictures: false}
"""


def avmae(*arguments) -> subprocess.CompletedProcess:
    command = [BIN / 'avmae', *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)


def start(*arguments, **options) -> subprocess.Popen:
    """The same, not waited for; what it prints is lost where `options` do not say otherwise."""
    options = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL, **options}
    command = [BIN / 'avmae', *map(str, arguments)]
    return subprocess.Popen(command, text=True, env=ENVIRONMENT, **options)


def write_pipeline(folder: Path, *, gate=0.01, epochs=2) -> Path:
    path = folder / 'pipeline.yaml'
    path.write_text(SETTINGS.replace('GATE', str(gate)).replace('EPOCHS', str(epochs)))
    return path


def run_pipeline(folder: Path, **settings):
    return avmae('pipeline', 'run', '--config', write_pipeline(folder, **settings))


def versions(folder: Path) -> list[str]:
    serving = folder / 'serving/small'
    return sorted(os.listdir(serving)) if serving.exists() else []
