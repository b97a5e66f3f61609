"""What the dev cluster promises, seen on the cluster that is up; skipped on any other cluster."""

import json
import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster import components, images, network, supervisor, tools
from devcluster.places import Places

SCRIPT = Path(__file__).parents[2] / "scripts" / "dev-cluster"
PLACES = Places.from_environment(os.environ)

pytestmark = [pytest.mark.cluster, pytest.mark.devcluster]


def kubectl(*words: str, stdin: str | None = None) -> str:
    argv = [str(tools.folder(PLACES) / "kubectl"), *words]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    name = f"devcluster-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    kubectl("wait", "--for=create", "serviceaccount/default", "-n", name, "--timeout=20s")
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def run_pod(namespace: str, image: images.Image, program: str) -> dict[str, Any]:
    """Run `program` as the "restricted" security context allows; returns the pod's end and its log."""
    name = f"p-{uuid.uuid4().hex[:8]}"
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
    container = {
        "name": "main",
        "image": image.reference,
        "command": ["python3", "-c", program],
        "securityContext": restricted,
        "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}},
    }
    user = {"runAsNonRoot": True, "runAsUser": 50000, "runAsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"restartPolicy": "Never", "dnsPolicy": "Default", "securityContext": user, "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(pod))
    deadline = time.monotonic() + 60
    status: dict[str, Any] = {}
    while status.get("phase") not in ("Succeeded", "Failed") and time.monotonic() < deadline:
        time.sleep(0.2)
        status = json.loads(kubectl("get", "pod", name, "-n", namespace, "-o", "json"))["status"]
    return {**status["containerStatuses"][0]["state"]["terminated"], "log": kubectl("logs", name, "-n", namespace)}


@pytest.mark.parametrize(("release", "version"), [("bookworm", "3.11"), ("trixie", "3.13")])
def test_a_base_image_runs_its_python_under_the_restricted_context(namespace: str, release: str, version: str) -> None:
    program = "import os, ssl, sqlite3, sys; print('%d.%d' % sys.version_info[:2], os.getuid(), os.getgid())"
    end = run_pod(namespace, images.BASES[release], program)
    assert (end["reason"], end["log"]) == ("Completed", f"{version} 50000 0\n")


def test_a_memory_limit_kills(namespace: str) -> None:
    end = run_pod(namespace, images.BASES["bookworm"], "x = b'x' * (256 << 20)")
    assert (end["reason"], end["exitCode"]) == ("OOMKilled", 137)


def test_a_pod_reaches_the_api_server_and_nothing_else_on_loopback(namespace: str) -> None:
    program = """
import json, os, socket, ssl, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
context = ssl.create_default_context(cafile=folder + "/ca.crt")
request = urllib.request.Request("https://%s/version" % os.environ["KUBERNETES_SERVICE_HOST"])
request.add_header("Authorization", "Bearer " + open(folder + "/token").read())
print(json.load(urllib.request.urlopen(request, context=context, timeout=10))["gitVersion"])
gateway = open("/proc/net/route").read().split("\\n")[1].split()[2]
address = ".".join(str(int(gateway[i:i + 2], 16)) for i in (6, 4, 2, 0))
for port in (5000, 6443, 12379):
    print(socket.socket().connect_ex((address, port)) != 0)
"""
    end = run_pod(namespace, images.BASES["trixie"], program)
    version = kubectl("version", "-o", "json")
    assert end["log"].splitlines() == [json.loads(version)["serverVersion"]["gitVersion"], "True", "True", "True"]


def test_every_component_listens_where_status_says_and_nowhere_else() -> None:
    pids = supervisor.pids(PLACES)
    listening = subprocess.run(["ss", "-Htlnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    for name, listens in components.SERVICES.items():
        addresses = {line.split()[3] for line in listening if f"pid={pids[name]}," in line}
        assert addresses == set(listens)


def test_who_shows_no_certificate_is_refused() -> None:
    blind = ssl._create_unverified_context()
    for place in (f"{network.NODE}:10250/pods", "127.0.0.1:6443/api"):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"https://{place}", context=blind, timeout=10)
    with pytest.raises(OSError, match="certificate"):
        urllib.request.urlopen("https://127.0.0.1:12379/health", context=blind, timeout=10)


def test_up_on_a_running_cluster_takes_less_than_three_seconds_and_changes_nothing() -> None:
    before = supervisor.pids(PLACES)
    begin = time.monotonic()
    said = subprocess.run([str(SCRIPT), "up"], capture_output=True, text=True, check=True).stdout
    assert time.monotonic() - begin < 3
    assert "the cluster is up already" in said
    assert supervisor.pids(PLACES) == before


def test_the_node_is_the_only_one_and_has_the_address_of_the_link() -> None:
    (node,) = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    assert {"type": "InternalIP", "address": network.NODE} in node["status"]["addresses"]
