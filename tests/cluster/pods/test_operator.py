"""What an operator's arguments promise, seen on real pods."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from airflow.providers.cncf.kubernetes.callbacks import KubernetesPodOperatorCallback
from airflow.providers.cncf.kubernetes.secret import Secret

if TYPE_CHECKING:
    from tests.cluster.pods.conftest import Cluster, InBackground, Outcome

    Run = Callable[..., Outcome]
    Start = Callable[..., InBackground]


def one() -> int:
    return 1


def adds(first: int, second: int = 10, run_id: str | None = None, try_number: int = 0) -> dict[str, object]:
    return {"sum": first + second, "run_id": run_id, "try": try_number}


def raises() -> None:
    raise ValueError("no")


def environment(*names: str) -> dict[str, object]:
    import os

    return {name: os.environ.get(name) for name in names} | {
        "ours": [n for n in os.environ if n.startswith("PODENV_RUN")]
    }


def read(path: str) -> str:
    import pathlib

    return pathlib.Path(path).read_text()


def process() -> dict[str, object]:
    import os
    import pathlib

    def writable(folder: str) -> bool:
        try:
            pathlib.Path(folder, "x").touch()
        except OSError:
            return False
        return True

    return {"uid": os.getuid(), "root": writable("/"), "tmp": writable("/tmp"), "pid": os.getpid()}


def waits(seconds: float) -> str:
    import time

    time.sleep(seconds)
    return "waited"


def test_arguments_and_context_values_arrive(run: Run) -> None:
    outcome = run(adds, 5)
    assert outcome.value == {"sum": 15, "run_id": "run", "try": 1}


def test_the_log_tells_what_runs_where_and_how_long_it_took(run: Run, cluster: Cluster) -> None:
    log = run(one, cpu="100m").log
    assert log[0] == (
        f"Environment 'plain' (Python 3.13, lock ffffffffffffffff), image {cluster.image}; "
        "requests cpu 100m, memory 64Mi; limits cpu 100m, memory 128Mi."
    )
    assert f"Pod {cluster.namespace}/tests-" in log[1]
    assert " runs on node " in log[1]
    assert ": scheduled after " in log[1]
    assert " s, image and start took " in log[1]
    assert re.fullmatch(r"Peak \d+ MiB of 128 MiB, 0\.0 s\.", log[2])
    assert len(log) == 3


def test_it_runs_without_rights_on_a_file_system_that_is_read_only(run: Run) -> None:
    value = run(process).value
    assert value["root"] is False
    assert value["tmp"] is True
    assert value["uid"] != 0
    assert value["pid"] == 1


def test_the_pod_says_whose_it_is(start: Start, cluster: Cluster) -> None:
    running = start(waits, 1, task_id="labelled", labels={"team": "data science"}, annotations={"note": "x"})
    metadata = cluster.await_pod("labelled").metadata
    labels = metadata.labels
    assert {name: labels[name] for name in ("dag_id", "task_id", "run_id", "try_number")} == {
        "dag_id": "tests", "task_id": "labelled", "run_id": "run", "try_number": "1",
    }  # fmt: skip
    digest = cluster.image.partition("@")[2]
    assert labels["podenv.dev/environment"] == "plain"
    assert labels["podenv.dev/digest"] == digest.removeprefix("sha256:")[:32]
    assert metadata.annotations["podenv.dev/digest"] == digest
    assert metadata.annotations["note"] == "x"
    assert labels["team"].startswith("datascience-")
    assert running.outcome().value == "waited"


def test_variables_and_secrets_arrive_and_ours_are_gone(run: Run, cluster: Cluster) -> None:
    body = {"metadata": {"name": "vault"}, "stringData": {"token": "t0ken"}}
    cluster.core.create_namespaced_secret(cluster.namespace, body)
    by_name: Any = Secret
    secrets = [by_name("env", "TOKEN", "vault", "token"), by_name("volume", "/vault", "vault")]
    outcome = run(environment, "PLACE", "TOKEN", env_vars={"PLACE": "here"}, secrets=secrets)
    assert outcome.value == {"PLACE": "here", "TOKEN": "t0ken", "ours": []}
    assert run(read, "/vault/token", secrets=secrets).value == "t0ken"


def test_connections_come_by_a_secret_that_goes_with_the_pod(
    start: Start, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "postgres://me:pass-word@db/x"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", uri)
    running = start(environment_after, 2, "AIRFLOW_CONN_WAREHOUSE", task_id="connected", connections=["warehouse"])
    pod = cluster.await_pod("connected", lambda pod: pod.status.phase == "Running")
    (secret,) = [s for s in cluster.core.list_namespaced_secret(cluster.namespace).items if s.metadata.owner_references
                 and s.metadata.owner_references[0].uid == pod.metadata.uid]  # fmt: skip
    assert base64.b64decode(secret.data["AIRFLOW_CONN_WAREHOUSE"]).decode() == uri
    assert "pass-word" not in str(pod)
    outcome = running.outcome()
    assert outcome.value == uri
    assert "pass-word" not in "".join(outcome.log)
    assert "pass-word" not in str({name: getattr(running.operator, name) for name in running.operator.template_fields})


def environment_after(seconds: float, name: str) -> str | None:
    import os
    import time

    time.sleep(seconds)
    return os.environ.get(name)


def test_the_call_can_travel_in_a_secret(start: Start, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__PODENV__PAYLOAD", "secret")
    running = start(waits, 2, task_id="sealed")
    pod = cluster.await_pod("sealed", lambda pod: pod.status.phase == "Running")
    variables = {item.name: item.value for item in pod.spec.containers[0].env}
    assert variables["PODENV_RUN_CALL_0"] is None
    assert running.outcome().value == "waited"


def test_a_command_writes_its_xcom_as_with_the_stock_operator(run: Run) -> None:
    write = "import json; json.dump({'rows': 3}, open('/airflow/xcom/return.json', 'w')); print('written')"
    outcome = run(cmds=["python", "-c"], arguments=[write])
    assert (outcome.value, outcome.printed) == ({"rows": 3}, ["written"])
    assert run(cmds=["python", "-c", "print('nothing')"]).value is None


def test_a_command_that_fails_keeps_its_exit_code(run: Run) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    failed = run(cmds=["python", "-c", "raise SystemExit(9)"], do_xcom_push=False)
    assert "the process ended with exit code 9" in failed.message
    skipped = run(cmds=["python", "-c", "raise SystemExit(9)"], skip_on_exit_code=[9])
    assert isinstance(skipped.error, AirflowSkipException)


@pytest.mark.parametrize(
    ("finish", "function", "kept"),
    [
        ("keep_pod", one, True),
        ("delete_succeeded_pod", one, False),
        ("delete_succeeded_pod", raises, True),
        ("delete_active_pod", one, True),
    ],
)
def test_on_finish_action_decides_what_stays(
    run: Run, cluster: Cluster, finish: str, function: Callable[..., Any], kept: bool
) -> None:
    outcome = run(function, on_finish_action=finish)
    names = [pod.metadata.name for pod in cluster.pods()]
    assert (outcome.xcoms["pod_name"] in names) == kept


def test_logs_of_other_containers_are_there_when_asked_for(run: Run, cluster: Cluster) -> None:
    def says(name: str) -> dict[str, Any]:
        return cluster.container(name, f"print('from {name}')")

    outcome = run(
        waits, 2,
        pod_template_dict={"spec": {"initContainers": [says("first")], "containers": [says("beside")]}},
        init_container_logs=True,
        container_logs=True,
        container_name_log_prefix_enabled=True,
    )  # fmt: skip
    assert outcome.value == "waited"
    assert outcome.printed == ["[first] from first", "[beside] from beside"]


def test_events_are_logged_when_asked_for(run: Run) -> None:
    outcome = run(one, log_events_on_startup=True)
    assert any(line.startswith("Event Scheduled: Successfully assigned") for line in outcome.log)


class Told(KubernetesPodOperatorCallback):
    """Writes down what it is told."""

    heard: ClassVar[list[str]] = []

    @staticmethod
    def on_pod_manifest_created(*, pod_request: Any, **_: Any) -> None:
        Told.heard.append("manifest")
        pod_request.metadata.labels["from"] = "callback"

    @staticmethod
    def on_pod_creation(*, pod: Any, **_: Any) -> None:
        Told.heard.append(f"created {pod.metadata.labels['from']}")

    @staticmethod
    def on_pod_starting(*, pod: Any, **_: Any) -> None:
        Told.heard.append(f"starting {bool(pod.spec.node_name)}")

    @staticmethod
    def progress_callback(*, line: str, **_: Any) -> None:
        Told.heard.append(f"line {line}")

    @staticmethod
    def on_pod_completion(*, pod: Any, **_: Any) -> None:
        Told.heard.append(f"completed {pod.status.container_statuses[0].state.terminated.exit_code}")

    @staticmethod
    def on_pod_teardown(**_: Any) -> None:
        Told.heard.append("teardown")

    @staticmethod
    def on_pod_cleanup(**_: Any) -> None:
        Told.heard.append("cleanup")


def speaks() -> None:
    print("hello")


def test_callbacks_are_called_in_their_order(run: Run) -> None:
    run(speaks, callbacks=Told)
    assert Told.heard == [
        "manifest", "created callback", "starting True", "line hello", "completed 0", "teardown", "cleanup",
    ]  # fmt: skip


def test_the_pod_mutation_hook_has_the_last_word(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes.client import V1EnvVar

    def mutate(pod: Any) -> None:
        pod.spec.containers[0].env.append(V1EnvVar(name="POLICY", value="applied"))

    monkeypatch.setattr("airflow.settings.pod_mutation_hook", mutate)
    assert run(environment, "POLICY").value["POLICY"] == "applied"


def test_rendered_fields_show_the_image_and_the_resources_that_ran(run: Run, cluster: Cluster) -> None:
    operator = run(one, memory="100Mi").operator
    assert operator.pod_image == cluster.image
    assert operator.pod_resources == {
        "requests": {"cpu": "50m", "memory": "100Mi"}, "limits": {"cpu": "1", "memory": "100Mi"},
    }  # fmt: skip
    assert {"pod_image", "pod_resources"} <= set(operator.template_fields)


def test_a_value_that_nobody_wants_may_be_anything(run: Run) -> None:
    outcome = run(returns_an_object, do_xcom_push=False)
    assert (outcome.error, outcome.value) == (None, None)


def returns_an_object() -> object:
    return object()


def test_the_link_leads_to_the_pod_where_a_page_is_known(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__PODENV__POD_URL", "https://k8s.example/{namespace}/{pod}")
    outcome = run(one)
    environment, pod_link = outcome.operator.operator_extra_links
    pod = f"{outcome.xcoms['pod_namespace']}/{outcome.xcoms['pod_name']}"
    assert (environment.name, pod_link.name) == ("Environment", "Pod")
    assert pod_link.get_link(outcome.operator, ti_key=None) == f"https://k8s.example/{pod}"
    monkeypatch.delenv("AIRFLOW__PODENV__POD_URL")
    assert [link.name for link in outcome.operator.operator_extra_links] == ["Environment"]


def test_run_in_env_makes_a_pod_too(cluster: Cluster) -> None:
    from podenv.airflow.run import run_in_env
    from podenv.errors import FunctionRaised

    assert run_in_env("plain", adds, 1, second=2)["sum"] == 3
    with pytest.raises(FunctionRaised, match="raised ValueError in environment 'plain': no"):
        run_in_env("plain", raises)


def test_many_tasks_at_once_each_bring_their_own_value(make: Callable[..., Any], execute: Run) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda number: execute(make(adds, number, 0)), range(16)))
    assert [outcome.value["sum"] for outcome in outcomes] == list(range(16))
