"""`run_in_env` on Kubernetes from a script that has no Airflow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cluster.pods.conftest import Cluster

SCRIPT = """
import json
import sys

from podenv import run_in_env
from podenv.errors import FunctionRaised


def doubles(number, seconds=0.0):
    import sys
    import time

    print("in Python", *sys.version_info[:2], flush=True)
    time.sleep(seconds)
    return 2 * number


def raises():
    raise LookupError("no such row")


if len(sys.argv) > 1:
    run_in_env("plain", doubles, 1, seconds=60)
value = run_in_env("plain", doubles, 21)
try:
    run_in_env("plain", raises)
except FunctionRaised as error:
    print(json.dumps([value, str(error), "airflow" in sys.modules]))
"""


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    prefix = os.environ["AIRFLOW__PODENV__NAMESPACE_PREFIX"]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    variables |= {"PODENV_BACKEND": "kubernetes", "PODENV_NAMESPACE_PREFIX": prefix}
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_script_without_airflow_calls_functions_in_pods(cluster: Cluster, tmp_path: Path) -> None:
    with started(tmp_path) as script:
        out, err = script.communicate(timeout=60)
    assert script.returncode == 0, err
    printed, result = out.splitlines()
    assert printed == "in Python 3 13"
    assert json.loads(result) == [42, "The function raised LookupError in environment 'plain': no such row", False]
    assert [pod.metadata.name for pod in cluster.pods() if "-call-" in pod.metadata.name] == []


def test_a_script_that_is_told_to_end_leaves_no_pod(cluster: Cluster, tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with started(tmp_path, "slow") as script:
            assert script.stdout is not None
            assert script.stdout.readline() == "in Python 3 13\n"
            script.send_signal(number)
            script.communicate(timeout=30)
        assert script.returncode != 0
        deadline = time.monotonic() + 30
        while [pod for pod in cluster.pods() if "-call-" in pod.metadata.name]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
