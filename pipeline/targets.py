"""Where a pipeline runs, and on what: the part of its file that does not change what is learned."""

from typing import Annotated, Any, Final, Literal

import pydantic

from avmae_tf.config import Count, Positive, Spec

Target = Literal['local', 'kubeflow', 'vertex']
LOCAL: Final = 'local'
KUBEFLOW: Final = 'kubeflow'
VERTEX: Final = 'vertex'
TARGETS: tuple[Target, ...] = (LOCAL, KUBEFLOW, VERTEX)

Text = Annotated[str, pydantic.Field(min_length=1)]
Address = Annotated[str, pydantic.Field(pattern='^https?://')]
HostAndPort = Annotated[str, pydantic.Field(pattern='^[^/]+$')]
Option = bool | int | float | str
Retries = Annotated[int, pydantic.Field(ge=0, le=10)]
NUM_RETRIES, GPU_RESOURCE = 2, 'nvidia.com/gpu'


class Step(Spec):
    """How a component runs, on every target; None is as in `defaults`."""

    cache: bool | None = None  # take its result from an earlier run that had the same inputs

    @property
    def is_cached(self) -> bool:
        """Whether the cache may serve it: yes, unless it was said not to."""
        return self.cache is not False


class RemoteStep(Step):
    """How a component runs on an engine."""

    cpu: Positive | None = None  # as the engine does it, if nothing is said
    memory_gb: Positive | None = None
    retries: Retries | None = None  # its work goes on where it was; NUM_RETRIES
    hours: Positive | None = None  # after these it fails; never


class KubeflowStep(RemoteStep):
    """How a component runs as a pod."""

    gpu: Count | None = None
    gpu_resource: Text | None = None  # what the cluster calls a GPU; GPU_RESOURCE
    node: dict[str, str] | None = None  # labels of the nodes that take it


class Gpu(Spec):
    """Accelerators of a machine of Vertex AI."""

    kind: Text  # as in NVIDIA_TESLA_T4
    count: Count = 1


class Tpu(Spec):
    """A TPU slice of Vertex AI, as a worker pool takes it."""

    machine: Text = 'ct5lp-hightpu-4t'
    topology: Annotated[str, pydantic.Field(pattern=r'^\d+x\d+(x\d+)?$')] = '2x2'


class VertexStep(RemoteStep):
    """How a component runs on Vertex AI."""

    gpu: Gpu | None = None
    tpu: Tpu | None = None

    @pydantic.model_validator(mode='after')
    def _one_accelerator(self) -> 'VertexStep':
        if self.gpu and self.tpu:
            raise ValueError('gpu and tpu are both given; leave one of them out')
        if self.tpu and (self.cpu or self.memory_gb):
            raise ValueError('cpu and memory_gb come with tpu.machine; leave them out')
        return self


class LocalTarget(Spec):
    """This machine."""

    beam: dict[str, Option] = pydantic.Field({})  # options of Beam, without their dashes
    components: dict[str, Step] = pydantic.Field({})

    def step(self, name: str) -> Step:
        """How the component of that name runs."""
        return self.components.get(name, Step())


class Volume(Spec):
    """A volume that every pod has."""

    claim: Text  # name of the PersistentVolumeClaim
    path: Annotated[str, pydantic.Field(pattern='^/')]


class KubeflowTarget(Spec):
    """Kubeflow Pipelines 2 on a Kubernetes cluster."""

    image: Text
    host: Address | None = None  # of the API; only submitting needs it
    ui: Address | None = None  # where people look, if that is another one
    namespace: Text | None = None  # where Kubeflow has several users
    experiment: Text = 'avmae'
    service_account: Text | None = None
    volume: Volume | None = None
    env: dict[str, str] = pydantic.Field({})
    secrets: dict[str, Annotated[str, pydantic.Field(pattern='^[^/]+/[^/]+$')]] = pydantic.Field(
        {}
    )  # name/key
    beam: dict[str, Option] = pydantic.Field({})
    defaults: RemoteStep = RemoteStep()
    components: dict[str, KubeflowStep] = pydantic.Field({})

    def step(self, name: str) -> KubeflowStep:
        """How the component of that name runs."""
        return KubeflowStep.model_validate(_merged(self.defaults, self.components.get(name)))


class VertexTarget(Spec):
    """Pipelines of Vertex AI."""

    image: Text
    tpu_image: Text | None = None  # of the components that have a TPU
    project: Text
    region: Text
    service_account: Text | None = None
    network: Text | None = None
    endpoint: HostAndPort | None = None  # of the API, if it is not the region's own
    labels: dict[str, str] = pydantic.Field({})
    env: dict[str, str] = pydantic.Field({})
    beam: dict[str, Option] = pydantic.Field({})
    defaults: RemoteStep = RemoteStep()
    components: dict[str, VertexStep] = pydantic.Field({})

    @pydantic.model_validator(mode='after')
    def _tpu_has_an_image(self) -> 'VertexTarget':
        with_tpu = [name for name, step in self.components.items() if step.tpu]
        if with_tpu and not self.tpu_image:
            raise ValueError(f'tpu_image: is missing, and {with_tpu[0]} runs on a TPU')
        if self.tpu_image and not with_tpu:
            raise ValueError('tpu_image: no component has a TPU; leave it out')
        return self

    def step(self, name: str) -> VertexStep:
        """How the component of that name runs."""
        step = self.components.get(name)
        defaults = self.defaults
        if step and step.tpu:  # the machine has what it has
            defaults = defaults.replace(cpu=None, memory_gb=None)
        return VertexStep.model_validate(_merged(defaults, step))


class Targets(Spec):
    """All that a pipeline can run on."""

    local: LocalTarget = LocalTarget()
    kubeflow: KubeflowTarget | None = None
    vertex: VertexTarget | None = None

    def of(self, target: Target) -> Any:
        """Settings of a target.

        Raises:
            ValueError: the file has none for it.
        """
        settings = getattr(self, target)
        if settings is None:
            raise ValueError(
                f'targets.{target}: is missing; give the image to run, and where to run it'
            )
        return settings


def _merged(defaults: RemoteStep, step: RemoteStep | None) -> dict[str, Any]:
    own = step.model_dump(exclude_none=True) if step else {}
    return {'retries': NUM_RETRIES, **defaults.model_dump(exclude_none=True), **own}
