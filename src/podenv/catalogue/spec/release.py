"""The values for what a release holds beside the pods: access, quota, network policy, pre-puller."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from podenv.catalogue.spec.fields import (
    Cidr,
    DnsLabel,
    Form,
    LabelValue,
    Limits,
    Model,
    NotReleased,
    ObjectName,
    OwnAnnotationKey,
    OwnLabelKey,
    Port,
    PortNumber,
    Quota,
    Requests,
)
from podenv.catalogue.spec.pod import Selector

Subject = Annotated[str, Form("[!-~]+", "name of a user or a group")]

_KIND = Form(
    "[A-Z][A-Za-z0-9]*",
    "kind of object",
    63,
    reserved="Secret",
    because="would keep its content in the release; make it with kubectl or an operator for secrets, and refer to it",
)


class Launcher(Model):
    """A service account of Airflow."""

    name: ObjectName
    namespace: DnsLabel


class Access(Model):
    """Who may launch pods of the environment."""

    service_accounts: list[Launcher] = Field(default=[], description="Service accounts that Airflow's workers run as.")
    users: list[Subject] = Field(default=[], description="Users, for an Airflow outside the cluster.")
    groups: list[Subject] = Field(default=[], description="Groups of users.")
    secrets: bool | None = Field(default=None, description="Also create Secrets that a pod owns; never read one.")


class ClusterSettings(Model):
    """Where the environment is, by the names that others have for its cluster."""

    context: Annotated[str, Form("[!-~]*", "name of a kube context")] = Field(
        default="", description="For the command line: the context of the kubeconfig. Empty: its current one."
    )
    connection: Annotated[str, Form(r"[-A-Za-z0-9_#!().:/]*", "id of an Airflow Connection", 200)] = Field(
        default="", description="For tasks: the id of Airflow's Connection to it. Empty: kubernetes_default."
    )


class LimitRange(Model):
    """Limits for each container in the environment's namespace, also for those that podenv does not start."""

    default: Limits = Field(default={}, description="Limits of a container that names none.")
    default_request: Requests = Field(default={}, description="Requests of one that names none.")
    min: Requests = Field(default={})
    max: Limits = Field(default={})


class ResourceQuota(Model):
    """Limits for the environment's namespace as a whole."""

    hard: Quota = Field(default={}, description="Like requests.cpu, limits.memory, pods.")


class Peer(Model):
    """Whom pods may talk to: a block of addresses, or pods of namespaces."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["cidr"]},
                {"anyOf": [{"required": ["podSelector"]}, {"required": ["namespaceSelector"]}]},
            ]
        }
    )

    cidr: Cidr | None = Field(default=None, description="Cloud metadata addresses inside it stay closed.")
    pod_selector: Selector | None = Field(default=None, description="Pods of this namespace, or of the namespaces.")
    namespace_selector: Selector | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if ("cidr" in self.model_fields_set) == bool({"pod_selector", "namespace_selector"} & self.model_fields_set):
            raise ValueError("give either cidr, or podSelector and/or namespaceSelector.")
        return self


class PolicyPort(Model):
    """A port of a peer."""

    port: Port
    end_port: PortNumber | None = Field(default=None, description="Last of a range; Kubernetes 1.25 or newer.")
    protocol: Literal["TCP", "UDP", "SCTP"] | None = None


class EgressRule(Peer):
    """A peer, and the ports that are open; no ports: all."""

    ports: list[PolicyPort] | None = None


class NetworkPolicy(Model):
    """The pods accept no connections; they may connect to DNS and to the allow list only."""

    enabled: bool | None = None
    dns: list[Peer] = Field(default=[], description="Who answers DNS, on port 53.")
    egress: list[EgressRule] = Field(default=[], description="The allow list.")


class PrePull(Model):
    """A pod on each node that holds the image there."""

    enabled: bool | None = None


# A name; then a version, or the address that it comes from.
_PACKAGE = r"[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?(==[A-Za-z0-9.!+_-]+| @ [^ ]+)?"


class Lock(Model):
    """What is in the image; `podenv deploy` sets it."""

    hash: Annotated[str, Form("([0-9a-f]{64})?", "SHA-256 of a lock", 64)] = ""
    packages: list[Annotated[str, Form(_PACKAGE, "package; write it like numpy==1.26.4 or numpy", 2000)]] = Field(
        default=[], description="Packages in the image, like numpy==1.26.4: `helm test` must find them there."
    )


class Metadata(Model):
    """The metadata of an object."""

    model_config = ConfigDict(extra="allow")

    name: ObjectName


class ExtraObject(Model):
    """Any other Kubernetes object; never a Secret, since values end up in the release."""

    model_config = ConfigDict(extra="allow")

    api_version: Annotated[str, Form(r"([-a-z0-9.]+/)?v[0-9][a-z0-9]*", "version of a Kubernetes API")]
    kind: Annotated[str, _KIND]
    metadata: Metadata


class ReleaseSettings(Model):
    """What stands beside the pods."""

    namespace: DnsLabel | None = Field(
        default=None, description="Namespace of the release, when not one of its own; may be shared by environments."
    )
    cluster: Annotated[ClusterSettings, NotReleased] = Field(
        default=ClusterSettings(), description="Its cluster, where there are several; no part of the release."
    )
    limit_range: LimitRange = Field(default=LimitRange(), description="Limits for each container in the namespace.")
    resource_quota: ResourceQuota = Field(default=ResourceQuota(), description="Limits for the whole namespace.")
    network_policy: NetworkPolicy = Field(default=NetworkPolicy(), description="Whom the pods may talk to.")
    access: Access = Field(default=Access(), description="Who may launch pods here.")
    pre_pull: PrePull = Field(default=PrePull(), description="The image on every node before the first task.")
    extra_labels: dict[OwnLabelKey, LabelValue] = Field(default={}, description="Labels of every object.")
    extra_annotations: dict[OwnAnnotationKey, str] = Field(default={}, description="Annotations of every object.")
    extra_objects: list[ExtraObject] = Field(default=[], description="Other objects that belong to the environment.")
    lock: Lock = Field(default=Lock(), description="What is in the image; `podenv deploy` sets it.")

    @field_validator("limit_range", "resource_quota")
    @classmethod
    def _own_namespace(cls, value: LimitRange | ResourceQuota, info: ValidationInfo) -> LimitRange | ResourceQuota:
        if info.data.get("namespace") and value.model_fields_set:
            raise ValueError(
                f"it holds for a whole namespace, and this environment shares {info.data['namespace']!r}; "
                "remove it here, and set it where the namespace is made"
            )
        return value


# What `ReleaseSettings._own_namespace` says, in JSON schema.
_NOTHING = {"additionalProperties": {"type": "null"}}
SHARED_NAMESPACE_RULE = {
    "if": {"required": ["namespace"], "properties": {"namespace": {"type": "string"}}},
    "then": {"properties": {"limitRange": _NOTHING, "resourceQuota": _NOTHING}},
}
