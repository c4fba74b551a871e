#!/bin/bash
# Writes the archive of one version: bash tests/earlier/write.sh CLONE PYTHON
# CLONE is a clone of this repository at the commit to keep, PYTHON one with its packages.
# The archive is written to the working directory, as <commit>.tar.xz.
set -euo pipefail
clone=$(realpath "$1") python=$(realpath -s "$2") out=$PWD
export PYTHONPATH=$clone AVMAE_CPU_DEVICES=1
mkdir /srv/avmae && cd /srv/avmae

inputs='recipe: demo
video: {num_frames: 4, frames_per_second: 4.0, size_px: 32, patch: [2, 8, 8]}
audio: {seconds: 0.96}
backbone: {width: 16, num_layers: 3, num_heads: 2, mlp_width: 32}
schedule: {reference_batch_size: 4, batch_size: 4, epochs: 2.0, warmup_epochs: 0.5}'
cat > pretrain.yaml <<EOF
$inputs
decoder: {width: 8, num_layers: 2, num_heads: 2, mlp_width: 16}
EOF
cat > finetune.yaml <<EOF
$inputs
fusion: {kind: bottleneck, fusion_layer: 1, num_bottlenecks: 2}
stochastic_depth: 0.3
num_views: 2
EOF
cat > pipeline.yaml <<EOF
name: small
root: .
data: {videos: clips, annotations: clips/annotations.csv, media: {shorter_side_px: 32}, num_shards: 1}
pretrain:
$(sed 's/^/  /' pretrain.yaml)
finetune:
$(sed 's/^/  /' finetune.yaml)
gate: {min_top1: 0.0}
run: {steps_per_loop: 2, checkpoint_every_loops: 1}
EOF

"$python" - <<EOF
from avmae_tf.data.synthetic import ClipStyle, write_clips
write_clips('clips', num_train=16, num_eval=8, style=ClipStyle(size_px=32, seconds=1.0))
EOF
main='from avmae_tf.cli import main; main()'
avmae() { "$python" -c "$main" "$@"; }
avmae convert --videos clips --annotations clips/annotations.csv --side 32 --shards 1 --out records
often=(--data records --steps-per-loop 2 --checkpoint-every-loops 1)
start=(--pretrained pretrain/model)
avmae pretrain "${often[@]}" --workdir pretrain --recipe pretrain.yaml
avmae finetune "${often[@]}" --workdir finetune --recipe finetune.yaml "${start[@]}"
killed() {  # once its first checkpoint is there
    "$python" -c "$main" "$@" &
    until [ -e "$1-killed/checkpoints/checkpoint" ]; do sleep 0.1; done
    kill -9 $!
    wait $! || true
}
killed pretrain "${often[@]}" --workdir pretrain-killed --recipe pretrain.yaml
killed finetune "${often[@]}" --workdir finetune-killed --recipe finetune.yaml "${start[@]}"
avmae export --model finetune/model --out served
avmae pipeline run --config pipeline.yaml

# Checkpoints of finished runs and all logs are large, and nothing reads them again.
rm -rf {pretrain,finetune}/checkpoints work/*/checkpoints {.,work}/*/logs *.log
# Similar files side by side, or they are compressed apart.
find . ! -type d -printf '%f %p\n' | sort | cut -d' ' -f2- > /srv/avmae.files
name=$(git -C "$clone" log -1 --format=%h)
tar --format=posix --no-recursion -cf - -T /srv/avmae.files | xz -9e > "$out/$name.tar.xz"
