"""`run_in_env` from a script without Airflow, against the simulated API server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.pods.apiserver import ApiServer
from tests.pods.engine import IMAGE, until
from tests.pods.test_relaunch import evicted_while_it_ran

SCRIPT = """
import sys

from podenv import run_in_env


def slowly_double(number, seconds):
    import time

    print("doubling", flush=True)
    time.sleep(seconds)
    return 2 * number


print("value", run_in_env("etl", slowly_double, 21, float(sys.argv[1])))
print("airflow" in sys.modules)
"""


def started(server: ApiServer, folder: Path, seconds: float, *, current: str = "c") -> subprocess.Popen[str]:
    """The script, on a machine whose kubeconfig leads to the server."""
    token = {"name": "u", "user": {"token": "t"}}
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "c", "cluster": {"server": server.url}},
            {"name": "away", "cluster": {"server": "http://127.0.0.1:1"}},
        ],
        "users": [token],
        "contexts": [{"name": one, "context": {"cluster": one, "user": "u"}} for one in ("c", "away")],
        "current-context": current,
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    (folder / "script.py").write_text(SCRIPT)
    own = {"PODENV_BACKEND": "kubernetes", "KUBECONFIG": str(folder / "kubeconfig"), "PYTHONUNBUFFERED": "1"}
    inherited = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "script.py", str(seconds)],
        cwd=folder,
        env={**inherited, **own},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.fixture
def deployed(server: ApiServer) -> ApiServer:
    template = {"spec": {"containers": [{"name": "base", "image": IMAGE}]}}
    server.objects.create("podtemplates", "podenv-etl", {"metadata": {"name": "etl"}, "template": template})
    return server


def test_a_script_needs_no_airflow(deployed: ApiServer, tmp_path: Path) -> None:
    output, _ = started(deployed, tmp_path, 0).communicate(timeout=60)
    assert output.splitlines() == ["doubling", "value 42", "False"]
    until(lambda: deployed.pods("podenv-etl") == [])


def test_a_script_calls_in_the_cluster_of_the_environment(deployed: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "envs" / "etl").mkdir(parents=True)
    (tmp_path / "envs" / "etl" / "values.yaml").write_text('python: "3.11"\ncluster: {context: c}\n')
    output, _ = started(deployed, tmp_path, 0, current="away").communicate(timeout=60)
    assert output.splitlines() == ["doubling", "value 42", "False"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_script_that_is_ended_leaves_no_pod(deployed: ApiServer, tmp_path: Path, number: signal.Signals) -> None:
    script = started(deployed, tmp_path, 60)
    assert script.stdout is not None
    assert script.stdout.readline() == "doubling\n"
    script.send_signal(number)
    output, _ = script.communicate(timeout=60)
    assert script.returncode != 0
    assert "value 42" not in output
    until(lambda: deployed.pods("podenv-etl") == [])


def test_an_environment_that_is_not_deployed_is_told(server: ApiServer, tmp_path: Path) -> None:
    output, _ = started(server, tmp_path, 0).communicate(timeout=60)
    assert "NotDeployed: Environment 'etl' is not deployed: there is no PodTemplate 'etl' in namespace" in output
    assert server.asked("POST") == []


def test_a_function_that_may_have_run_is_run_again_only_where_the_environment_allows_it(
    deployed: ApiServer, tmp_path: Path
) -> None:
    deployed.kubelet.plans = [evicted_while_it_ran]
    output, _ = started(deployed, tmp_path, 0).communicate(timeout=60)
    assert "it is not started again; set retries, or relaunch=N of the task or in the environment's values." in output
    template, allow = ("podtemplates", "podenv-etl", "etl"), {"podenv.dev/relaunch": "1"}
    deployed.objects.edit(template, lambda item: item["metadata"].update(annotations=allow))
    deployed.kubelet.plans = [evicted_while_it_ran]
    output, _ = started(deployed, tmp_path, 0).communicate(timeout=60)
    assert output.splitlines() == ["working", "doubling", "value 42", "False"]
