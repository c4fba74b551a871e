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
CLOUD_TPU: Final = 'cloud-tpu'  # the machine of TPU v2 and v3
V5E_MACHINE, V5E_TOPOLOGY = 'ct5lp-hightpu-4t', '2x2'
V5E_TOPOLOGIES = {  # by machine; from 2x4 on, those of four chips are several
    'ct5lp-hightpu-1t': ('1x1',),
    V5E_MACHINE: ('2x2', '2x4', '4x4', '4x8', '8x8', '8x16', '16x16'),
    'ct5lp-hightpu-8t': ('2x4',),
}


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
    """A TPU slice of Vertex AI: one worker pool, however many machines the slice has."""

    machine: Text = V5E_MACHINE
    topology: Annotated[str, pydantic.Field(pattern=r'^\d+x\d+(x\d+)?$')] | None = None  # 2x2
    accelerator: Literal['TPU_V2', 'TPU_V3'] | None = None  # of CLOUD_TPU
    cores: Count | None = None  # of CLOUD_TPU: 8 of one machine, 32 and more of several

    @property
    def machine_spec(self) -> dict[str, Any]:
        """As a worker pool takes it."""
        if self.machine == CLOUD_TPU:
            return {
                'machine_type': self.machine,
                'accelerator_type': self.accelerator,
                'accelerator_count': self.cores,
            }
        return {'machine_type': self.machine, 'tpu_topology': self.topology or V5E_TOPOLOGY}

    @pydantic.model_validator(mode='after')
    def _fits_its_machine(self) -> 'Tpu':
        if self.machine == CLOUD_TPU:
            if self.topology or not (self.accelerator and self.cores):
                raise ValueError(f'{CLOUD_TPU} has accelerator and cores, and no topology')
            return self
        if self.accelerator or self.cores:
            raise ValueError(f'accelerator and cores are of {CLOUD_TPU}; leave them out')
        topologies = V5E_TOPOLOGIES.get(self.machine, ())
        if topologies and (self.topology or V5E_TOPOLOGY) not in topologies:
            raise ValueError(
                f'topology of {self.machine} must be one of {", ".join(topologies)}, got '
                f'{self.topology or V5E_TOPOLOGY}'
            )
        return self


class Workers(Spec):
    """Machines that train together."""

    count: Annotated[int, pydantic.Field(ge=2)]
    machine: Text  # of Vertex AI, as in n1-standard-16


class VertexStep(RemoteStep):
    """How a component runs on Vertex AI."""

    gpu: Gpu | None = None  # of each of its machines
    tpu: Tpu | None = None
    workers: Workers | None = None

    @property
    def is_job(self) -> bool:
        """Whether it needs a CustomJob, whose machines have what they have."""
        return bool(self.tpu or self.workers)

    @pydantic.model_validator(mode='after')
    def _one_kind_of_machine(self) -> 'VertexStep':
        if self.tpu and (self.gpu or self.workers):
            other = 'gpu' if self.gpu else 'workers'
            raise ValueError(f'{other} and tpu are both given; leave one of them out')
        if self.is_job and (self.cpu or self.memory_gb):
            machine = 'tpu.machine' if self.tpu else 'workers.machine'
            raise ValueError(f'cpu and memory_gb come with {machine}; leave them out')
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
        if step and step.is_job:
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
