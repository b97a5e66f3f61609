"""What environments and tasks ask of a cluster, and do not get on this machine: the log names it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic.alias_generators import to_camel

from podenv.catalogue.spec import EnvironmentSpec

# Fields of an environment's values that shape its pods or its image, and nothing else.
FIELDS = (
    "system_packages", "env_from", "volumes", "volume_mounts", "init_containers", "tmp", "shared_memory",
    "service_account", "image_pull_secrets", "pod_security_context", "security_context", "node_selector", "tolerations",
    "spot", "node_loss_seconds", "affinity", "topology_spread_constraints", "priority_class_name", "runtime_class_name",
    "scheduler_name", "host_aliases", "dns_policy", "dns_config", "pod_labels", "pod_annotations", "network_policy",
    "relaunch",
)  # fmt: skip
IMAGE_FIELDS = ("external", "containerfile")  # more is in the image than the lock says
# Fields whose variables have their values from the cluster.
VARIABLES = ("secret_env", "config_map_env", "field_env")
_LIMITED_HERE = {"cpu", "memory"}


@dataclass(frozen=True)
class ClusterOnly:
    """What an environment or a task asks of the cluster: ``keys`` as written, ``variables`` with their keys."""

    keys: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


NOTHING = ClusterOnly()


def of_environment(spec: EnvironmentSpec) -> ClusterOnly:
    """What the values of an environment ask of the cluster."""
    given = [name for name in FIELDS if getattr(spec, name) != EnvironmentSpec.model_fields[name].default]
    given += [f"image.{name}" for name in IMAGE_FIELDS if getattr(spec.image, name)]
    variables = {variable: to_camel(name) for name in VARIABLES for variable in getattr(spec, name)}
    return ClusterOnly((*map(to_camel, given), *limits_only_of_pods(spec.resources.limits)), variables)


def limits_only_of_pods(limits: Iterable[str]) -> tuple[str, ...]:
    """The limits that hold for pods only."""
    return tuple(f"the limit of {name}" for name in limits if name not in _LIMITED_HERE)


def values_here(*asked: ClusterOnly) -> dict[str, str]:
    """The values that variables of the same names in this process give to the cluster's variables."""
    return {name: os.environ[name] for one in asked for name in one.variables if name in os.environ}


def sentence(environment: ClusterOnly, task: ClusterOnly, known: Iterable[str]) -> str | None:
    """One line on what is missing, if only the variables ``known`` have a value; None if nothing is missing."""
    keys = [
        f"{', '.join(one.keys)} (of the {owner})"
        for one, owner in ((environment, "environment"), (task, "task"))
        if one.keys
    ]
    unset = {name: key for name, key in {**environment.variables, **task.variables}.items() if name not in known}
    parts = []
    if keys:
        parts.append(f"Only pods have {' and '.join(keys)}; the local backend does without.")
    if unset:
        names = ", ".join(f"{name} ({key})" for name, key in unset.items())
        parts.append(f"Only the cluster knows the variables {names}: to give them values here, set them in your shell.")
    return " ".join(parts) or None
