"""The models that a classifier starts from: looked at before the work, loaded when it begins."""

import dataclasses
import functools
from collections.abc import Callable

from avmae_tf.config import FinetuneConfig, check_number, check_start
from avmae_tf.models.classifier import Classifier
from avmae_tf.storage import exists, fingerprint
from avmae_tf.training.checkpoints import describe_model, load_model, model_fingerprint
from avmae_tf.training.image_vit import image_vit_settings, is_image_vit, load_image_vit
from avmae_tf.training.warm_start import warm_start


@dataclasses.dataclass(frozen=True)
class StartModels:
    """One or two models for a classifier of `config` to start from; none of them is from scratch.

    Args:
        config: Settings of the classifier.
        paths: Model folders of `avmae pretrain` or `avmae finetune`, or image ViTs (.npz).

    Raises:
        ValueError: a path is no model, or the classifier cannot start from it.
    """

    config: FinetuneConfig
    paths: tuple[str, ...] = ()

    def __post_init__(self):
        if self.paths:
            check_number(self.paths)
            check_start(self.config, [self._settings(path) for path in self.paths], self.paths)

    def _settings(self, path: str):
        """What a model was trained with, without its weights."""
        if is_image_vit(path):
            return image_vit_settings(path, self.config)
        if not exists(path):
            raise ValueError(
                f'{path}: no such folder; give the folder of a model of `avmae pretrain` or '
                '`avmae finetune`, or an image ViT (.npz)'
            )
        return describe_model(path).config

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of settings and weights of all of them, wherever they lie; '' from scratch."""
        return ' '.join(
            fingerprint([path]) if is_image_vit(path) else model_fingerprint(path)
            for path in self.paths
        )

    def initialiser(self, say: Callable[[str], None]) -> Callable[[Classifier], None] | None:
        """A function that gives a new classifier its first weights, and says what it took."""

        def initialise(model: Classifier):
            encoders = [
                load_image_vit(path, self.config) if is_image_vit(path) else load_model(path)
                for path in self.paths
            ]
            say(f'warm start: {warm_start(model, *encoders)}')

        return initialise if self.paths else None
