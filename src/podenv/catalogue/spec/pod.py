"""The values that shape an environment's pods; the chart's values.yaml holds what they are when not given."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from podenv.catalogue import units
from podenv.catalogue.spec.fields import (
    Address,
    Count,
    DataKey,
    EnvName,
    Form,
    LabelKey,
    LabelValue,
    Limits,
    Model,
    ObjectName,
    OptionalName,
    OwnAnnotationKey,
    OwnLabelKey,
    Requests,
    Seconds,
    Size,
    whole,
)

# A part of Kubernetes' own that grows with it: passed on as it is, checked by the API server.
Passed = dict[str, Any]
_Own = Form("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "name that Kubernetes takes here (a DNS-1123 label)", 63, "podenv-.*")
VolumeName = Annotated[str, _Own]
ContainerName = Annotated[str, Form(_Own.pattern, _Own.what, 63, "base")]
Path = Annotated[str, Form(r"/[^:\x00-\x1f]*", "absolute path", 4096)]
FieldPath = Annotated[
    str,
    Form(
        r"metadata\.(name|namespace|uid|(labels|annotations)\['[!-&(-~]+'\])"
        r"|spec\.(nodeName|serviceAccountName)|status\.(hostIP|podIP)",
        "field that a variable can take; known are metadata.name, metadata.namespace, metadata.uid, "
        "metadata.labels['KEY'], metadata.annotations['KEY'], spec.nodeName, spec.serviceAccountName, status.hostIP "
        "and status.podIP",
        400,
    ),
]


class Reference(Model):
    """A Secret or a ConfigMap of the environment's namespace."""

    name: ObjectName
    optional: bool = Field(default=False, description="True: pods start without it.")


class KeyReference(Reference):
    """One entry of a Secret or a ConfigMap."""

    key: DataKey


class EnvFrom(Model):
    """All entries of a Secret or of a ConfigMap as environment variables."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["secretRef"]}, {"required": ["configMapRef"]}]}
    )

    prefix: EnvName | None = None
    secret_ref: Reference | None = None
    config_map_ref: Reference | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        return self._exactly_one_of("secret_ref", "config_map_ref")


class EmptyDirSource(Model):
    """An empty folder as Kubernetes has it."""

    model_config = ConfigDict(extra="allow")

    size_limit: Size | None = None


class Volume(Model):
    """A volume: its name, and beside it its source as Kubernetes has it."""

    model_config = ConfigDict(extra="allow")

    name: VolumeName
    # Kubernetes reads null, as `emptyDir:` without a value is, as an empty folder.
    empty_dir: Annotated[
        EmptyDirSource | None,
        WithJsonSchema({"type": ["object", "null"], "properties": {"sizeLimit": units.BYTES.schema()}}),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _no_null(cls, given: object) -> object:
        return given


class VolumeMount(Model):
    """Where a volume appears in the container."""

    name: VolumeName
    mount_path: Path
    read_only: bool = False
    sub_path: str | None = None
    sub_path_expr: str | None = None
    mount_propagation: Literal["None", "HostToContainer", "Bidirectional"] | None = None


class ContainerResources(Model):
    """What a container asks for and may use, as Kubernetes has it."""

    model_config = ConfigDict(extra="allow")

    requests: Requests = Field(default={})
    limits: Limits = Field(default={})


class InitContainer(Model):
    """A container that runs before the task; what it lacks of image, resources and securityContext is the task's."""

    model_config = ConfigDict(extra="allow")

    name: ContainerName
    resources: ContainerResources = ContainerResources()


class EmptyDir(Model):
    """An empty folder, gone with the pod."""

    size: Size | None = Field(default=None, description="The most it may hold, in bytes; beyond it the pod is evicted.")
    medium: Literal["", "Memory"] | None = Field(
        default=None, description="Memory: files count as memory of the task. Empty: the node's disk."
    )


class SharedMemory(Model):
    """Memory that processes share, as data loaders with several of them need it."""

    size: Size | None = Field(default=None, description="In bytes; counts as memory of the task.")


class ServiceAccount(Model):
    """What the pods run as, towards Kubernetes and the cloud."""

    create: bool | None = None
    name: OptionalName | None = Field(default=None, description="Empty: the environment's own name.")
    annotations: dict[OwnAnnotationKey, str] = Field(default={}, description="For workload identity.")
    automount: bool | None = Field(default=None, description="True: pods get a token of the Kubernetes API.")


class PullSecret(Model):
    """A Secret of the namespace with credentials of a registry."""

    name: ObjectName


class Toleration(Model):
    """A taint of nodes that does not keep the pods away."""

    key: LabelKey | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: Seconds | None = None


class Spot(Model):
    """Cheaper nodes that may be taken away: where they are, and how often a task's pod is launched there."""

    tries: Annotated[int, Field(ge=1, le=100), BeforeValidator(whole)] = Field(
        default=2, description="How often a pod is launched there; the next launch goes without."
    )
    node_selector: dict[LabelKey, LabelValue] = Field(default={}, description="Labels that these nodes have.")
    tolerations: list[Toleration] = Field(default=[], description="Taints that these nodes have.")


class Affinity(Model):
    """Nodes and pods that the pods seek or avoid, as Kubernetes has them."""

    node_affinity: Passed = Field(default={})
    pod_affinity: Passed = Field(default={})
    pod_anti_affinity: Passed = Field(default={})


class LabelExpression(Model):
    """One condition on labels."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[LabelValue] | None = None


class Selector(Model):
    """Which pods or namespaces; empty: all."""

    match_labels: dict[LabelKey, LabelValue] | None = None
    match_expressions: list[LabelExpression] | None = None


class SpreadConstraint(Model):
    """How the pods spread over nodes or zones; without a labelSelector, the pods of this environment."""

    max_skew: Count
    topology_key: LabelKey
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    label_selector: Selector | None = None
    min_domains: Count | None = None
    match_label_keys: list[LabelKey] | None = None
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    node_taints_policy: Literal["Honor", "Ignore"] | None = None


class Kueue(Model):
    """The queue in which a task's pod waits for its turn, as Kueue knows it."""

    queue: OptionalName = Field(default="", description="The LocalQueue of the namespace. Empty: none.")
    priority_class: OptionalName = Field(default="", description="The WorkloadPriorityClass. Empty: none.")


class HostAlias(Model):
    """A line of /etc/hosts."""

    ip: Address
    hostnames: list[ObjectName]


class DnsOption(Model):
    """An option of /etc/resolv.conf."""

    name: Annotated[str, Form("[a-z0-9-]+", "option of a resolver")]
    value: str | None = None


class DnsConfig(Model):
    """What is added to /etc/resolv.conf."""

    nameservers: list[Address] = Field(default=[])
    searches: list[ObjectName] = Field(default=[])
    options: list[DnsOption] = Field(default=[])


class PodSettings(Model):
    """What every pod of the environment has."""

    env: dict[EnvName, str] = Field(default={}, description="Environment variables of every task; nothing secret.")
    secret_env: dict[EnvName, KeyReference] = Field(default={}, description="Variables from Secrets of the namespace.")
    config_map_env: dict[EnvName, KeyReference] = Field(default={}, description="Variables from ConfigMaps.")
    field_env: dict[EnvName, FieldPath] = Field(default={}, description="Variables from fields of the pod.")
    env_from: list[EnvFrom] = Field(default=[], description="Secrets and ConfigMaps as variables, all entries of each.")
    volumes: list[Volume] = Field(default=[], description="Volumes as Kubernetes has them.")
    volume_mounts: list[VolumeMount] = Field(default=[], description="Where the volumes appear.")
    init_containers: list[InitContainer] = Field(default=[], description="What runs before a task, in order.")
    tmp: EmptyDir = Field(default=EmptyDir(), description="The folder /tmp; all else is read-only.")
    shared_memory: SharedMemory = Field(default=SharedMemory(), description="The folder /dev/shm.")
    service_account: ServiceAccount = Field(default=ServiceAccount(), description="What the pods run as.")
    image_pull_secrets: list[PullSecret] = Field(default=[], description="Credentials of the image's registry.")
    pod_security_context: Passed = Field(default={}, description="Security of the pod, as Kubernetes has it.")
    security_context: Passed = Field(default={}, description="Security of the container, as Kubernetes has it.")
    node_selector: dict[LabelKey, LabelValue] = Field(default={}, description="Labels that a node must have.")
    tolerations: list[Toleration] = Field(default=[], description="Taints that do not keep the pods away.")
    spot: Spot = Field(default=Spot(), description="Cheaper nodes that may be taken away.")
    node_loss_seconds: Seconds | None = Field(
        default=None, description="Seconds until a pod on a node that no longer answers is given up."
    )
    affinity: Affinity = Field(default=Affinity(), description="Nodes and pods that are sought or avoided.")
    topology_spread_constraints: list[SpreadConstraint] = Field(default=[], description="Spread over nodes or zones.")
    priority_class_name: OptionalName = Field(default="", description="How important the pods are.")
    runtime_class_name: OptionalName = Field(default="", description="The container runtime, like nvidia.")
    scheduler_name: OptionalName = Field(default="", description="A scheduler other than the cluster's.")
    kueue: Kueue = Field(default=Kueue(), description="The queue in which tasks wait for their turn (Kueue).")
    host_aliases: list[HostAlias] = Field(default=[], description="Lines of /etc/hosts.")
    dns_policy: Literal["", "ClusterFirst", "Default", "None"] = Field(default="", description="Where names are found.")
    dns_config: DnsConfig = Field(default=DnsConfig(), description="Additions to /etc/resolv.conf.")
    termination_grace_period_seconds: Seconds | None = Field(
        default=None, description="Seconds that a task has to end after SIGTERM."
    )
    pod_labels: dict[OwnLabelKey, LabelValue] = Field(default={}, description="Labels of the pods.")
    pod_annotations: dict[OwnAnnotationKey, str] = Field(default={}, description="Annotations of the pods.")
