"""Every argument of KubernetesPodOperator is honoured on a pod, or refused when the DAG is parsed."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.secret import Secret
from kubernetes.client import models as k8s

from podenv import EnvPodOperator
from podenv.airflow import overrides
from podenv.errors import CallError
from podenv.pods.manifest import base_container, complete

TEMPLATE = {"spec": {"containers": [{"name": "base", "image": "template"}]}}


@pytest.fixture(autouse=True)
def _catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODENV_CATALOGUE", str(Path(__file__).parent / "project" / "envs"))


def work() -> int:
    return 1


def operator(**given: Any) -> EnvPodOperator:
    return EnvPodOperator(task_id="t", env="plain", python_callable=work, **given)


def pod_of(**given: Any) -> dict[str, Any]:
    return complete(TEMPLATE, overrides.of_operator(operator(**given)), name="n", namespace="s")


class _Base(dict[str, Any]):
    """What is expected of the base container."""


AFFINITY: dict[str, Any] = {
    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
}
SHAPED: Mapping[str, tuple[Any, dict[str, Any]]] = {
    "image": ("other:1", _Base(image="other:1")),
    "image_pull_policy": ("Always", _Base(imagePullPolicy="Always")),
    "ports": (
        [k8s.V1ContainerPort(name="http", container_port=80)],
        _Base(ports=[{"name": "http", "containerPort": 80}]),
    ),
    "volume_mounts": (
        [k8s.V1VolumeMount(name="v", mount_path="/v")],
        _Base(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
    ),
    "volumes": (
        [k8s.V1Volume(name="v", empty_dir=k8s.V1EmptyDirVolumeSource())],
        {"volumes": [{"name": "v", "emptyDir": {}}]},
    ),
    "env_vars": ({"A": "1"}, _Base(env=[{"name": "A", "value": "1"}])),
    "env_from": (
        [k8s.V1EnvFromSource(config_map_ref=k8s.V1ConfigMapEnvSource(name="c"))],
        _Base(envFrom=[{"configMapRef": {"name": "c"}}]),
    ),
    "configmaps": (["c"], _Base(envFrom=[{"configMapRef": {"name": "c"}}])),
    "secrets": (
        [Secret("env", "A", "s", "k")],  # type: ignore[no-untyped-call]
        _Base(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
    ),
    "pod_runtime_info_envs": (
        [k8s.V1EnvVar(name="N", value_from=k8s.V1EnvVarSource(field_ref=k8s.V1ObjectFieldSelector(field_path="f")))],
        _Base(env=[{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "f"}}}]),
    ),
    "container_security_context": ({"run_as_user": 7}, _Base(securityContext={"runAsUser": 7})),
    "security_context": (k8s.V1PodSecurityContext(fs_group=5), {"securityContext": {"fsGroup": 5}}),
    "termination_message_policy": (
        "FallbackToLogsOnError",
        _Base(terminationMessagePolicy="FallbackToLogsOnError"),
    ),
    "affinity": (AFFINITY, {"affinity": AFFINITY}),
    "runtime_class_name": ("nvidia", {"runtimeClassName": "nvidia"}),
    "node_selector": ({"disk": "ssd"}, {"nodeSelector": {"disk": "ssd"}}),
    "image_pull_secrets": ([k8s.V1LocalObjectReference("p")], {"imagePullSecrets": [{"name": "p"}]}),
    "service_account_name": ("sa", {"serviceAccountName": "sa"}),
    "automount_service_account_token": (False, {"automountServiceAccountToken": False}),
    "hostnetwork": (True, {"hostNetwork": True}),
    "host_aliases": (
        [k8s.V1HostAlias(ip="10.0.0.1", hostnames=["h"])],
        {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["h"]}]},
    ),
    "tolerations": ([k8s.V1Toleration(key="gpu")], {"tolerations": [{"key": "gpu"}]}),
    "dnspolicy": ("Default", {"dnsPolicy": "Default"}),
    "dns_config": (k8s.V1PodDNSConfig(searches=["x"]), {"dnsConfig": {"searches": ["x"]}}),
    "hostname": ("h", {"hostname": "h"}),
    "subdomain": ("d", {"subdomain": "d"}),
    "schedulername": ("volcano", {"schedulerName": "volcano"}),
    "init_containers": ([k8s.V1Container(name="i", image="x")], {"initContainers": [{"name": "i", "image": "x"}]}),
    "priority_class_name": ("high", {"priorityClassName": "high"}),
    "termination_grace_period": (9, {"terminationGracePeriodSeconds": 9}),
    "active_deadline_seconds": (60, {"activeDeadlineSeconds": 60}),
    "full_pod_spec": (k8s.V1Pod(spec=k8s.V1PodSpec(containers=[], hostname="f")), {"hostname": "f"}),
    "pod_template_dict": ({"spec": {"hostname": "d"}}, {"hostname": "d"}),
}
# Seen on real pods in tests/cluster/pods, or about the client, which is the stock operator's own.
ELSEWHERE = {
    "kubernetes_conn_id", "in_cluster", "cluster_context", "config_file", "namespace", "name", "random_name_suffix",
    "cmds", "arguments", "labels", "annotations", "container_resources", "pod_template_file", "do_xcom_push",
    "reattach_on_restart", "durable", "startup_timeout_seconds", "schedule_timeout_seconds", "get_logs",
    "init_container_logs", "container_logs", "log_events_on_failure", "log_events_on_startup", "skip_on_exit_code",
    "deferrable", "poll_interval", "on_finish_action", "on_kill_action", "callbacks", "progress_callback",
    "trigger_kwargs", "container_name_log_prefix_enabled", "log_formatter",
}  # fmt: skip
# A watch, or poll_interval, tells what these would ask for; the last is upstream's own and does nothing there.
NEEDLESS = {"startup_check_interval_seconds", "base_container_status_polling_interval", "is_delete_operator_pod"}
REFUSED = {
    "log_pod_spec_on_failure": (True, "the dump would hold the values of environment variables"),
    "xcom_sidecar_container_security_context": ({"runAsUser": 1}, "no sidecar carries the result"),
    "logging_interval": (5, "the log of a deferred task is read whole when it resumes"),
    "base_container_name": ("main", "an environment's container is named 'base'"),
}


def test_no_argument_of_the_stock_operator_is_forgotten() -> None:
    known = set(inspect.signature(KubernetesPodOperator.__init__).parameters) - {"self", "kwargs"}
    assert known == set(SHAPED) | ELSEWHERE | NEEDLESS | set(REFUSED)


@pytest.mark.parametrize("name", SHAPED)
def test_an_argument_about_the_pod_is_laid_upon_the_template(name: str) -> None:
    value, expected = SHAPED[name]
    pod = pod_of(**{name: value})
    place = base_container(pod) if isinstance(expected, _Base) else pod["spec"]
    assert {key: place[key] for key in expected} == expected
    unchanged = {"containers", "restartPolicy", *expected}
    assert set(pod["spec"]) <= unchanged
    assert name == "image" or base_container(pod)["image"] == "template"


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_honoured_is_refused_when_the_dag_is_parsed(name: str) -> None:
    value, why = REFUSED[name]
    with pytest.raises(TypeError) as caught:
        operator(**{name: value})
    assert str(caught.value).startswith(f"Task 't': {name} cannot be set: {why}")


def test_variables_are_texts_whatever_was_given() -> None:
    given = {"PORT": 8080, "DEBUG": True, "RATE": 0.5, "HOME": Path("/work"), "NAME": "x"}
    expected = {"PORT": "8080", "DEBUG": "True", "RATE": "0.5", "HOME": "/work", "NAME": "x"}
    as_list = [k8s.V1EnvVar(name=name, value=value) for name, value in given.items()]
    as_dicts = [{"name": name, "value": value} for name, value in given.items()]
    for form in (given, as_list, as_dicts):
        variables = base_container(pod_of(env_vars=form))["env"]
        assert {one["name"]: one["value"] for one in variables} == expected


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "the variable X of env_vars cannot be None; leave it out, or give it a text."),
        ([1], "the variable X of env_vars cannot be [1]; write it as a text, json.dumps(...) for one."),
        ({"a": 1}, "the variable X of env_vars cannot be {'a': 1}; write it as a text, json.dumps(...) for one."),
        (b"x", "the variable X of env_vars cannot be b'x'; write it as a text, json.dumps(...) for one."),
    ],
)
def test_a_variable_that_cannot_be_a_text_is_refused_when_the_dag_is_parsed(value: object, why: str) -> None:
    forms: list[Any] = [{"X": value}, [k8s.V1EnvVar(name="X", value=value)], [{"name": "X", "value": value}]]
    for form in forms:
        with pytest.raises(TypeError) as caught:
            operator(env_vars=form)
        assert str(caught.value) == f"Task 't': {why}"


def test_variables_that_are_not_a_mapping_or_a_list_of_them_are_refused() -> None:
    with pytest.raises(TypeError, match=r"env_vars is a mapping of names to texts, or a list of V1EnvVar, not 7\.$"):
        operator(env_vars=7)
    with pytest.raises(TypeError, match=r"env_vars has an entry that is not a V1EnvVar: 'A=1'\.$"):
        operator(env_vars=["A=1"])


def test_a_value_that_is_known_only_when_the_task_runs_is_checked_then() -> None:
    waiting = operator(env_vars="{{ params.variables }}")
    vars(waiting)["env_vars"] = {"X": None}
    with pytest.raises(CallError, match=r"^Task 't': the variable X of env_vars cannot be None; leave it out"):
        overrides.of_operator(waiting)


# Works on the local backend as in a pod.
HERE = {
    "env_vars", "cmds", "arguments", "container_resources", "do_xcom_push", "get_logs", "skip_on_exit_code",
    "progress_callback", "container_name_log_prefix_enabled", "log_formatter", "termination_grace_period",
}  # fmt: skip
# Says which cluster, and how a pod there is found, followed and left, which no task notices.
FOLLOWING = {
    "kubernetes_conn_id", "in_cluster", "cluster_context", "config_file", "namespace", "name", "random_name_suffix",
    "reattach_on_restart", "durable", "startup_timeout_seconds", "schedule_timeout_seconds", "container_logs",
    "log_events_on_failure", "log_events_on_startup", "deferrable", "poll_interval", "on_finish_action",
    "on_kill_action", "trigger_kwargs", "termination_message_policy", *NEEDLESS,
}  # fmt: skip
# Named where something of them is missing.
IN_PARTS = {"secrets", "pod_runtime_info_envs"}


def test_every_argument_works_on_the_local_backend_or_is_named_there_or_is_about_following_a_pod() -> None:
    from podenv.airflow.localtask import POD_ONLY

    known = set(inspect.signature(KubernetesPodOperator.__init__).parameters) - {"self", "kwargs"} - set(REFUSED)
    assert known == set(POD_ONLY) | HERE | FOLLOWING | IN_PARTS
    plain = operator()
    assert [name for name in POD_ONLY if getattr(plain, name)] == []


def test_defaults_change_nothing_of_the_template() -> None:
    assert pod_of() == complete(TEMPLATE, [], name="n", namespace="s")


def test_a_template_file_is_laid_upon_the_environments_own(tmp_path: Path) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text("kind: Pod\nspec:\n  containers: [{name: base, tty: true}]\n  hostname: h\n")
    pod = pod_of(pod_template_file=str(file))
    assert base_container(pod) == {"name": "base", "image": "template", "tty": True}
    assert pod["spec"]["hostname"] == "h"


@pytest.mark.parametrize("content", [None, "kind: Deployment\n", "- a\n", "{"])
def test_a_template_file_that_is_none_is_one_clear_error(tmp_path: Path, content: str | None) -> None:
    from podenv.errors import PodRefused

    file = tmp_path / "pod.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(PodRefused, match=r"^Task 't': "):
        overrides.of_operator(operator(pod_template_file=str(file)))


def test_labels_become_what_kubernetes_takes() -> None:
    labels = pod_of(labels={"team": "data science", "empty": None})["metadata"]["labels"]
    assert labels["empty"] == ""
    assert labels["team"].startswith("datascience-")


def test_connections_are_a_list_of_names() -> None:
    with pytest.raises(TypeError, match=r"connections is a list of names; write \['warehouse'\]"):
        operator(connections="warehouse")


def test_connections_become_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://me:secret@db/x")
    assert operator(connections=["warehouse"]).secret_variables() == {
        "AIRFLOW_CONN_WAREHOUSE": "postgres://me:secret@db/x"
    }
    assert list(operator(connections={"DB": "warehouse"}).secret_variables()) == ["DB"]


def test_variables_come_as_environment_variables_under_airflows_own_name_or_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_REGION", "eu-west-1")
    assert operator(variables=["region"]).secret_variables() == {"AIRFLOW_VAR_REGION": "eu-west-1"}
    assert operator(variables={"AWS_REGION": "region"}).secret_variables() == {"AWS_REGION": "eu-west-1"}
    with pytest.raises(TypeError, match=r"variables is a list of names; write \['region'\]"):
        operator(variables="region")


def test_the_settings_are_airflows(monkeypatch: pytest.MonkeyPatch) -> None:
    from podenv.airflow import settings
    from podenv.airflow.provider import get_provider_info
    from podenv.errors import SettingError

    options = get_provider_info()["config"]["podenv"]["options"]
    assert set(options) == {
        "airflow_id", "backend", "catalogue", "code", "exchange", "namespace_prefix", "payload", "pod_url", "results",
    }  # fmt: skip
    monkeypatch.delenv("PODENV_BACKEND", raising=False)
    assert settings.backend() == options["backend"]["default"]
    monkeypatch.delenv("PODENV_NAMESPACE_PREFIX", raising=False)
    assert settings.namespace("plain", None) == f"{options['namespace_prefix']['default']}plain"
    monkeypatch.setenv("AIRFLOW__PODENV__NAMESPACE_PREFIX", "b-")
    assert settings.namespace("plain", None) == "b-plain"
    monkeypatch.setenv("PODENV_NAMESPACE_PREFIX", "a-")  # where `podenv up` deploys then
    assert settings.namespace("plain", None) == "a-plain"
    assert (settings.payload(), settings.pod_url()) == ("env", "")
    monkeypatch.setenv("AIRFLOW__PODENV__PAYLOAD", "sekret")
    with pytest.raises(SettingError, match="Did you mean 'secret'"):
        settings.payload()
