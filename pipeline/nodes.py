"""What each component did in a local run, read back from ML Metadata."""

import dataclasses

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.outcome.component import Outcome

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
class Finished:
    """A finished run: how it ended, and node by node."""

    outcome: Outcome
    nodes: tuple[Node, ...]

    def node(self, name: str) -> Node:
        """The component of that name."""
        return next(node for node in self.nodes if node.name == name)

    def output(self, kind: str) -> metadata_store_pb2.Artifact:
        """The artifact of type `kind` that the last node to make one left.

        Raises:
            LookupError: none of them made one.
        """
        return [node.outputs[kind] for node in self.nodes if kind in node.outputs][-1]


def read_nodes(connection: metadata_store_pb2.ConnectionConfig, run_id: str) -> tuple[Node, ...]:
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
    return nodes


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
