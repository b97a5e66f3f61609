import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from devcluster import commands, kubernetes, tools
from devcluster.cluster import Part
from devcluster.components import Component, refuse_taken_ports
from devcluster.errors import DevClusterError
from devcluster.places import Places

SCRIPT = Path(__file__).parents[2] / "scripts" / "dev-cluster"
PLACES = Places(cache=Path("/cache"), state=Path("/state"))


@pytest.mark.parametrize("words", [[], ["up"], ["down"], ["status"], ["env"], ["airflow"]])
def test_each_command_explains_itself_on_a_bare_python(words: list[str]) -> None:
    argv = [sys.executable, "-S", "-W", "error", str(SCRIPT), *words, "--help"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(" ".join(["usage: dev-cluster", *words]))


def test_env_tells_of_cluster_registry_and_bucket_and_puts_the_tools_first_on_the_path_once() -> None:
    lines = commands.environment(PLACES, {"PATH": "/usr/bin:/cache/bin:/bin"})
    told = dict(word.split("=", 1) for word in shlex.split(lines.replace("export ", "")))
    connection = json.loads(told.pop("AIRFLOW_CONN_PODENV_DEV"))
    assert connection["extra"] == {"endpoint_url": "http://10.211.0.1:5002", "region_name": "us-east-1"}
    assert told == {
        "KUBECONFIG": "/state/kubeconfig",
        "PODENV_REGISTRY": "127.0.0.1:5000",
        "PODENV_BASE_IMAGE": "127.0.0.1:5000/podenv/base:py{python}",
        "PODENV_UV_IMAGE": f"127.0.0.1:5000/podenv/uv:{tools.UV_VERSION}",
        "PODENV_EXCHANGE": "s3://podenv_dev@podenv-dev/exchange",
        "PATH": "/cache/bin:/usr/bin:/bin",
    }


def test_status_is_a_table() -> None:
    rows = [Part("etcd", 12, True, "127.0.0.1:12379"), Part("node", None, False, "10.211.0.1")]
    assert commands.table(rows) == (
        "component    pid      healthy  listens\n"
        "etcd         12       yes      127.0.0.1:12379\n"
        "node         -        no       10.211.0.1"
    )


@pytest.mark.parametrize(
    ("kubeconfig", "code", "expected"),
    [("/of/another", 0, "https://other.example"), ("/of/another", 1, None), ("/state/kubeconfig", 0, None)],
)
def test_another_cluster_that_answers_is_enough(
    tmp_path: Path, kubeconfig: str, code: int, expected: str | None
) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\n[ "$1" = config ] && printf https://other.example\nexit {code}\n')
    kubectl.chmod(0o755)
    assert commands.answering_cluster(PLACES, {"KUBECONFIG": kubeconfig, "PATH": str(tmp_path)}) == expected


def test_another_system_is_refused_with_what_to_use_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    release = {"VERSION_CODENAME": "noble", "PRETTY_NAME": "Ubuntu 24.04"}
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: release)
    with pytest.raises(DevClusterError, match=r"made for Debian 12 on x86_64, and this is Ubuntu 24\.04 on .*use kind"):
        commands.check_machine()


def test_a_taken_port_is_refused_with_the_program_that_holds_it() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(DevClusterError) as refused:
            refuse_taken_ports(Component("registry", (f"127.0.0.1:{port}",), ""))
    who = f"{Path('/proc/self/comm').read_text().strip()} (pid {os.getpid()})"
    assert str(refused.value) == (
        f"port {port}, which registry needs, is held by {who}; end that program and run up again."
    )


def test_a_build_counts_only_when_all_of_its_programs_are_there(tmp_path: Path) -> None:
    places = Places(cache=tmp_path, state=tmp_path / "state")
    folder = tmp_path / "kubernetes" / "1.20.2"
    folder.mkdir(parents=True)
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "pause"):
        (folder / name).touch()
    assert kubernetes.built(places) is None
    (folder / "kubelet").touch()
    assert kubernetes.built(places) == folder
