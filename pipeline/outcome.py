"""What a run did, read back from ML Metadata and from TFMA's report."""

import dataclasses
import math

import ml_metadata as mlmd
import tensorflow_model_analysis as tfma
from ml_metadata.proto import metadata_store_pb2

from components.evaluation.analysis import read_left_out, read_metrics

_STATES = metadata_store_pb2.Execution.State
RUN_CONTEXT, NODE_CONTEXT = 'pipeline_run', 'node'


@dataclasses.dataclass(frozen=True)
class Node:
    """One component in one run."""

    name: str
    cached: bool
    seconds: float
    outputs: dict[str, metadata_store_pb2.Artifact]  # by the type of the artifact


@dataclasses.dataclass(frozen=True)
class Shortfall:
    """A metric that kept a model from being pushed."""

    metric: str
    value: float
    bound: float
    compared: bool  # with the last blessed model

    def __str__(self) -> str:
        if math.isnan(self.value):
            reason = getattr(self.value, 'reason', 'it is not in the report')
            return f'{self.metric} is bounded by the gate, and undefined on these clips: {reason}'
        what = f'{self.metric} fell by {-self.value:.3f} against the last blessed model'
        if self.compared:
            return f'{what}, more than the allowed {-self.bound:.3f}'
        return (
            f'{self.metric} is {self.value:.3f}, {self.bound - self.value:.3f} below the gate of '
            f'{self.bound:.3f}'
        )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A finished run, node by node, and where its model was pushed to, None if it was not."""

    nodes: tuple[Node, ...]
    pushed: str | None = None

    def node(self, name: str) -> Node:
        """The component of that name."""
        return next(node for node in self.nodes if node.name == name)

    def output(self, kind: str) -> metadata_store_pb2.Artifact:
        """The artifact of type `kind` that the last node to make one left.

        Raises:
            LookupError: none of them made one.
        """
        return [node.outputs[kind] for node in self.nodes if kind in node.outputs][-1]

    @property
    def report(self) -> str:
        """Folder of TFMA's report."""
        return self.output('ModelEvaluation').uri

    @property
    def blessed(self) -> bool:
        """Whether the model passed the gate."""
        return self._blessing('blessed') == 1

    @property
    def compared(self) -> bool:
        """Whether there was an earlier blessed model to compare with."""
        return self._blessing('baseline_model_id') != 0

    def _blessing(self, name: str) -> int:
        if not any('ModelBlessing' in node.outputs for node in self.nodes):
            return 0
        properties = self.output('ModelBlessing').custom_properties
        return properties[name].int_value if name in properties else 0

    def metrics(self) -> dict[str, float]:
        """The metrics of the candidate by name."""
        return read_metrics(self.report)

    def left_out(self) -> int:
        """How many clips had no label, so that nothing was measured on them."""
        return read_left_out(self.report)

    def shortfalls(self) -> list[Shortfall]:
        """Why the model was not blessed; empty if it was."""
        found = []
        for by_slice in tfma.load_validation_result(self.report).metric_validations_per_slice:
            for failure in by_slice.failures:
                compared = failure.metric_key.is_diff
                threshold = failure.metric_threshold
                bound = (
                    threshold.change_threshold.absolute.value
                    if compared
                    else threshold.value_threshold.lower_bound.value
                )
                value = math.nan  # where the metric is not there at all
                if failure.HasField('metric_value'):
                    value = failure.metric_value.double_value.value
                if math.isnan(value):
                    value = self.metrics().get(failure.metric_key.name, value)
                found.append(Shortfall(failure.metric_key.name, value, bound, compared))
        return found


def read_outcome(connection: metadata_store_pb2.ConnectionConfig, run_id: str) -> Outcome:
    """What the run of that id did.

    Raises:
        RuntimeError: a node failed.
    """
    store = mlmd.MetadataStore(connection)
    run = store.get_context_by_type_and_name(RUN_CONTEXT, run_id)
    if run is None:
        raise ValueError(f'no run {run_id!r} is recorded')
    executions = sorted(store.get_executions_by_context(run.id), key=lambda e: e.id)
    nodes = tuple(_node(store, execution) for execution in executions)
    for node, execution in zip(nodes, executions, strict=True):
        if execution.last_known_state == _STATES.FAILED:  # a resolver's does not end a run
            raise RuntimeError(f'{node.name} failed')
    return Outcome(nodes)


def _node(store: mlmd.MetadataStore, execution: metadata_store_pb2.Execution) -> Node:
    contexts = store.get_contexts_by_execution(execution.id)
    name = next(c.name for c in contexts if c.type == NODE_CONTEXT).rpartition('.')[-1]
    kinds = metadata_store_pb2.Event
    outputs = [
        event.artifact_id
        for event in store.get_events_by_execution_ids([execution.id])
        if event.type in (kinds.OUTPUT, kinds.DECLARED_OUTPUT)
    ]
    took = execution.last_update_time_since_epoch - execution.create_time_since_epoch
    return Node(
        name=name,
        cached=execution.last_known_state == _STATES.CACHED,
        seconds=took / 1000.0,
        outputs={a.type: a for a in store.get_artifacts_by_id(outputs)},
    )
