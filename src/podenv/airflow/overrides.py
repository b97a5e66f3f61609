"""The arguments of KubernetesPodOperator as partial pods, to be laid upon an environment's PodTemplate. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import yaml
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.secret import Secret

from podenv.airflow.compat import (
    convert_configmap,
    convert_volume,
    convert_volume_mount,
    make_safe_label_value,
)
from podenv.errors import CallError, PodRefused
from podenv.pods.manifest import CONTAINER, Json, to_json, with_base, without_empty

# Arguments of KubernetesPodOperator that podenv cannot honour: refused, not ignored.
_REFUSED = {
    "log_pod_spec_on_failure": "the dump would hold the values of environment variables",
    "xcom_sidecar_container_security_context": "no sidecar carries the result",
    "logging_interval": "the log of a deferred task is read whole when it resumes",
}


def refusal(operator: KubernetesPodOperator) -> str | None:
    """Which argument cannot be honoured, and why; None if all can be."""
    for name, why in _REFUSED.items():
        if getattr(operator, name):
            return f"{name} cannot be set: {why}; leave it out"
    if operator.base_container_name != CONTAINER:
        return f"base_container_name cannot be set: an environment's container is named {CONTAINER!r}; leave it out"
    env_vars: object = operator.env_vars
    try:
        for name, value, source in (
            () if isinstance(env_vars, str) else _variables(env_vars)
        ):  # a text may be a template
            if not hasattr(value, "resolve") and source is None:  # an upstream task's value is known when it runs
                _text(name, value)
    except ValueError as why:
        return str(why)
    return None


def of_operator(operator: KubernetesPodOperator) -> list[Json]:
    """What the operator's arguments say of the pod, from the weakest to the strongest.

    Command, resources, the pod's name and its identity are not in it. Raises `PodRefused` for a template file that
    holds no pod, and `CallError` for a variable that is not a text.
    """
    layers = [_template(operator), _parts(to_json(operator.full_pod_spec or {}))]
    layers.append({"metadata": without_empty(_metadata(operator)), "spec": to_json(without_empty(_spec(operator)))})
    if base := to_json(without_empty(_base(operator))):
        layers.append(with_base(**base))
    layers += [_secret(secret) for secret in operator.secrets]
    return layers


def _template(operator: KubernetesPodOperator) -> Json:
    if operator.pod_template_file:
        file = Path(operator.pod_template_file)
        try:
            found = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise PodRefused(
                f"Task {operator.task_id!r}: pod_template_file {file} cannot be read "
                f"({getattr(error, 'strerror', None) or type(error).__name__}); correct it."
            ) from None
    else:
        found = operator.pod_template_dict
    found = to_json(found or {})
    if not isinstance(found, Mapping) or found.get("kind", "Pod") != "Pod":
        raise PodRefused(
            f"Task {operator.task_id!r}: its pod template is not a Pod; it must hold one, or parts of one."
        )
    return _parts(found)


def _parts(pod: Mapping[str, Any]) -> Json:
    return {key: pod[key] for key in ("metadata", "spec") if pod.get(key)}


def _metadata(operator: KubernetesPodOperator) -> Json:
    labels: dict[str, str | None] = {
        key: make_safe_label_value("" if value is None else str(value)) for key, value in operator.labels.items()
    }
    return {"labels": labels, "annotations": {key: str(value) for key, value in operator.annotations.items()}}


def _spec(operator: KubernetesPodOperator) -> Json:
    return {
        "runtimeClassName": operator.runtime_class_name,
        "nodeSelector": operator.node_selector,
        "affinity": operator.affinity,
        "tolerations": operator.tolerations,
        "initContainers": operator.init_containers,
        "hostAliases": operator.host_aliases,
        "imagePullSecrets": operator.image_pull_secrets,
        "serviceAccountName": operator.service_account_name,
        "automountServiceAccountToken": operator.automount_service_account_token,
        "hostNetwork": operator.hostnetwork or None,  # False is the argument's default, and says nothing
        "hostname": operator.hostname,
        "subdomain": operator.subdomain,
        "securityContext": _camel(operator.security_context),
        "dnsPolicy": operator.dnspolicy,
        "dnsConfig": operator.dns_config,
        "schedulerName": operator.schedulername,
        "priorityClassName": operator.priority_class_name,
        "volumes": [convert_volume(volume) for volume in operator.volumes],
        "activeDeadlineSeconds": operator.active_deadline_seconds,
        "terminationGracePeriodSeconds": operator.termination_grace_period,
    }


def _base(operator: KubernetesPodOperator) -> Json:
    policy = operator.termination_message_policy
    return {
        "image": operator.image,
        "imagePullPolicy": operator.image_pull_policy,
        "ports": operator.ports,
        "volumeMounts": [convert_volume_mount(mount) for mount in operator.volume_mounts],
        "env": [*variables(operator), *operator.pod_runtime_info_envs],
        "envFrom": [*operator.env_from, *(convert_configmap(name) for name in operator.configmaps)],
        "securityContext": _camel(operator.container_security_context),
        "terminationMessagePolicy": None if policy == "File" else policy,
    }


def variables(operator: KubernetesPodOperator) -> list[Json]:
    """The entries of ``env_vars`` as Kubernetes has them: ``name`` with ``value``, a text, or with ``valueFrom``.

    Raises `CallError` for a value that is not a text, a number or a path.
    """
    try:
        return [
            {"name": name, "value": _text(name, value)} if source is None else {"name": name, "valueFrom": source}
            for name, value, source in _variables(operator.env_vars)
        ]
    except ValueError as why:
        raise CallError(f"Task {operator.task_id!r}: {why}.") from None


def _variables(env_vars: Any) -> Iterator[tuple[str, Any, Any]]:
    """Name, value and source of each entry. Raises ValueError if ``env_vars`` has another form."""
    if hasattr(env_vars, "resolve"):  # an upstream task's value
        return
    if isinstance(env_vars, Mapping):
        yield from ((name, value, None) for name, value in env_vars.items())
        return
    if not isinstance(env_vars, list | tuple):
        raise ValueError(f"env_vars is a mapping of names to texts, or a list of V1EnvVar, not {env_vars!r}")
    for entry in env_vars:
        read = entry.get if isinstance(entry, Mapping) else partial(getattr, entry)
        name, source = read("name", None), read("valueFrom", None) or read("value_from", None)
        if not isinstance(name, str):
            raise ValueError(f"env_vars has an entry that is not a V1EnvVar: {entry!r}")
        yield name, read("value", None), to_json(source)


def _text(name: str, value: object) -> str:
    """``value`` as the variable ``name`` holds it."""
    if not isinstance(value, str | int | float | Decimal | PurePath):
        remedy = "leave it out, or give it a text" if value is None else "write it as a text, json.dumps(...) for one"
        raise ValueError(f"the variable {name} of env_vars cannot be {value!r}; {remedy}")
    return str(value)


def _camel(model: Any) -> Any:
    """A dict may be written as Python (run_as_user) or as Kubernetes (runAsUser) has it."""
    if not isinstance(model, Mapping):
        return model
    return {_camel_name(str(key)): _camel(value) for key, value in model.items()}


def _camel_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _secret(secret: Secret) -> Json:
    if secret.deploy_type == "volume":
        volume, mount = secret.to_volume_secret()
        return dict(to_json({"spec": {"volumes": [volume], **with_base(volumeMounts=[mount])["spec"]}}))
    if secret.key is not None:
        return dict(to_json(with_base(env=[secret.to_env_secret()])))
    return dict(to_json(with_base(envFrom=[secret.to_env_from_secret()])))


def formatted(operator: KubernetesPodOperator, container: str, line: str) -> str:
    """A line of a container's log as the operator's arguments want it."""
    if operator.log_formatter is not None:
        return str(operator.log_formatter(container, line))
    return f"[{container}] {line}" if operator.container_name_log_prefix_enabled else line


def selected(containers: Iterable[str] | str | bool | None, known: Iterable[str]) -> list[str]:
    """The containers among ``known`` that ``container_logs`` or ``init_container_logs`` names; True is all."""
    if containers is True:
        return list(known)
    chosen = [containers] if isinstance(containers, str) else list(containers or [])
    return [name for name in known if name in chosen]
