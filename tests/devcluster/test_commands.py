import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from devcluster import commands, components, kubernetes, tools
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
    lines = commands.environment(PLACES, {"PATH": "/usr/bin:/cache/tools-2.2.2:/bin"})
    told = dict(word.split("=", 1) for word in shlex.split(lines.replace("export ", "")))
    connection = json.loads(told.pop("AIRFLOW_CONN_PODENV_DEV"))
    assert connection["extra"] == {"endpoint_url": "http://10.211.0.1:5002", "region_name": "us-east-1"}
    assert told == {
        "KUBECONFIG": "/state/kubeconfig",
        "PODENV_REGISTRY": "127.0.0.1:5000",
        "PODENV_BASE_IMAGE": "127.0.0.1:5000/podenv/base:py{python}",
        "PODENV_UV_IMAGE": f"127.0.0.1:5000/podenv/uv:{tools.UV_VERSION}",
        "PODENV_EXCHANGE": "s3://podenv_dev@podenv-dev/exchange",
        "PATH": "/cache/tools-2.2.2:/usr/bin:/bin",
    }


def test_status_is_a_table() -> None:
    lines = commands.table({"etcd": 12, "store": 13}, {"etcd", "link"}).splitlines()
    assert [line.split()[0] for line in lines] == ["component", *components.ALL]
    assert {
        "component    pid      healthy  listens",
        "store        13       no       10.211.0.1:5002",
        "etcd         12       yes      127.0.0.1:12379, 127.0.0.1:12380",
        "link         -        yes      podenv-dev0, 10.211.0.1",
    } <= set(lines)


@pytest.mark.parametrize(
    ("kubeconfig", "code", "answers"),
    [("/of/another", 0, True), ("/of/another", 1, False), ("/state/kubeconfig", 0, False)],
)
def test_another_cluster_that_answers_is_enough(tmp_path: Path, kubeconfig: str, code: int, answers: bool) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\n[ "$1" = config ] && printf https://other.example\nexit {code}\n')
    kubectl.chmod(0o755)
    said = commands.answering_cluster(PLACES, {"KUBECONFIG": kubeconfig, "PATH": str(tmp_path)})
    assert said == ("A cluster answers at https://other.example already (/of/another)" if answers else None)


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
            components.refuse_taken_ports("registry", (f"127.0.0.1:{port}",))
    who = f"{Path('/proc/self/comm').read_text().strip()} (pid {os.getpid()})"
    assert str(refused.value) == (
        f"port {port}, which registry needs, is held by {who}; end that program and run up again."
    )


@pytest.mark.parametrize(("made", "found"), [("1.20.2", "1.20.2"), (".making-1.20", "1.20")])
def test_a_whole_build_is_found_under_whatever_name(tmp_path: Path, made: str, found: str) -> None:
    (tmp_path / "kubernetes" / made).mkdir(parents=True)
    assert kubernetes.folder(Places(cache=tmp_path, state=tmp_path)) == tmp_path / "kubernetes" / found
