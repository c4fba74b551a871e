"""TFX's Pusher, but for how it copies: whole or not at all, and no model twice in a row."""

import os
import time
from typing import Any

from tfx import types
from tfx.components.pusher import executor
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, proto_utils

from avmae_tf.data.locks import held
from avmae_tf.training.identity import identity
from avmae_tf.training.publish import appearing, clear_leftovers, versions_in

WAIT_SECONDS = 600.0  # for another push into the same folder


def push(model: str, folder: str) -> str:
    """Makes the SavedModel `model` the newest version in `folder`, unless it is; returns it.

    What killed pushes left in `folder` goes. Into a bucket, one push at a time.
    """
    with held(folder, seconds=WAIT_SECONDS):
        clear_leftovers(folder)
        versions = versions_in(folder)
        if versions and identity(model) in {identity(versions[-1])} - {None}:
            return versions[-1]
        last = int(os.path.basename(versions[-1])) if versions else 0
        version = os.path.join(folder, str(max(int(time.time()), last + 1)))
        with appearing(version) as temporary:
            io_utils.copy_dir(model, temporary)
    return version


class Executor(executor.Executor):
    """Pushes a blessed model with `push`: a changed gate alone makes no new version."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Copies the model if it was blessed, and notes where it is."""
        pushed = artifact_utils.get_single_instance(
            output_dict[standard_component_specs.PUSHED_MODEL_KEY]
        )
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(
            exec_properties[standard_component_specs.PUSH_DESTINATION_KEY], destination
        )
        model = self.GetModelPath(input_dict)
        version = push(model, destination.filesystem.base_directory)
        io_utils.copy_dir(model, pushed.uri)
        self._MarkPushed(
            pushed, pushed_destination=version, pushed_version=os.path.basename(version)
        )
