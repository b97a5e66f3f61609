"""Pod Security "restricted" for a pod's spec, by the rules of https://kubernetes.io/docs/concepts/security/pod-security-standards."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chart.helm import Object

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
    "name",
}
_SECCOMP = ("RuntimeDefault", "Localhost")
_SELINUX = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")


def violations(spec: Object) -> list[str]:
    """What in ``spec`` the level "restricted" forbids; empty where it is allowed."""
    return sorted({*_of_pod(spec), *(why for container in _containers(spec) for why in _of_container(container, spec))})


def _containers(spec: Object) -> list[Object]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def _of_pod(spec: Object) -> Iterator[str]:
    pod = spec.get("securityContext", {})
    yield from (key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key))
    if any(set(volume) - _VOLUMES for volume in spec.get("volumes", [])):
        yield "volume type"
    if pod.get("sysctls"):
        yield "sysctls"
    if pod.get("windowsOptions", {}).get("hostProcess"):
        yield "hostProcess"


def _of_container(container: Object, spec: Object) -> Iterator[str]:
    pod, own = spec.get("securityContext", {}), container.get("securityContext", {})
    both = {**pod, **own}
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "capabilities"
    if both.get("runAsNonRoot") is not True:
        yield "runAsNonRoot"
    if both.get("runAsUser") == 0:
        yield "runAsUser"
    if both.get("seccompProfile", {}).get("type") not in _SECCOMP:
        yield "seccompProfile"
    if both.get("seLinuxOptions", {}).get("type", "") not in _SELINUX or both.get("seLinuxOptions", {}).keys() & {
        "user",
        "role",
    }:
        yield "seLinuxOptions"
    if both.get("appArmorProfile", {}).get("type", "RuntimeDefault") not in _SECCOMP:
        yield "appArmorProfile"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield "hostPort"
