"""How well the sound of a clip finds its picture, and the reverse, in a pretrained model."""

import json
import os

from avmae_tf.config import AUDIO, VIDEO
from avmae_tf.data.dataset import check_records, load_dataset
from avmae_tf.data.locks import holds
from avmae_tf.storage import write_text
from avmae_tf.training.checkpoints import describe_model, is_model
from avmae_tf.training.retrieval import check_pair, embed_clips
from components.evaluation.analysis import Evaluation, analyse
from components.evaluation.measures import Undefined, recall_at

REPORT_FILE = 'retrieval.json'
RANKS = (1, 5, 10)
DIRECTIONS = ((AUDIO, VIDEO), (VIDEO, AUDIO))


def measure(model: str, folder: str, split: str, report: str) -> Evaluation:
    """`analyse` of a SavedModel, `retrieve` of the folder of a pretrained model."""
    return (retrieve if is_model(model) else analyse)(model, folder, split, report)


@holds('report')
def retrieve(model: str, folder: str, split: str, report: str) -> Evaluation:
    """Recall at 1, 5 and 10 of a pretrained model on a split of the records in `folder`.

    All clips of the split that have both modalities are the answers to each. Writes
    `retrieval.json` to the folder `report`. The metrics are `audio_to_video_recall_at_1` and so on;
    clips that lack a modality are left out.

    Raises:
        ValueError: `model` is a classifier or has one modality only, or something is damaged.
    """
    description, dataset = describe_model(model), load_dataset(folder)
    if not description.pretrain:
        raise ValueError(f'{model}: a classifier is measured as exported; give it to avmae export')
    check_pair(description.pretrain, model)
    check_records(folder, dataset, split)
    embeddings, left_out = embed_clips(model, folder, dataset, split)
    metrics = {
        f'{asked}_to_{answer}_recall_at_{k}': recall_at(k, embeddings[asked], embeddings[answer])
        for asked, answer in DIRECTIONS
        for k in RANKS
    }
    known = {k: None if isinstance(v, Undefined) else v for k, v in metrics.items()}
    counts = {'split': split, 'clips': len(embeddings[VIDEO]), 'left_out': left_out}
    write_text(os.path.join(report, REPORT_FILE), json.dumps({**counts, 'metrics': known}) + '\n')
    return Evaluation(metrics, left_out)
