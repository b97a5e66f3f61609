"""Pods of the images, as strict as a cluster may ask for: by digest, an unprivileged user, a read-only root."""

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from podenv import lock
from podenv.catalogue.environment import Catalogue, Environment
from podenv.image.build import Images, Options

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("_able_to_build")]
CATALOGUE = Catalogue(Path(__file__).parents[2] / "envs")
NAMES = ("data-cleaning", "data-ingestion", "model-training")
VERSIONS = "from importlib.metadata import distributions as d; print(*sorted(f'{x.name}=={x.version}' for x in d()))"
RESTRICTED = {
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
Run = Callable[[Environment, str, str], Any]


@pytest.fixture(scope="module")
def images() -> Images:
    return Images(Options(push=True))


@pytest.fixture(scope="module")
def api() -> Iterator[client.CoreV1Api]:
    made = config.new_client_from_config()
    yield client.CoreV1Api(made)
    made.rest_client.pool_manager.clear()  # close() leaves its sockets open (seen with version 36)


@pytest.fixture
def run(images: Images, api: client.CoreV1Api) -> Iterator[Run]:
    """Runs Python code in a pod of an environment's image; returns the pod when it has ended."""
    begun: list[str] = []

    def start(environment: Environment, code: str, memory: str) -> Any:
        built = images.build(environment)
        assert built.digest is not None
        name = f"image-{uuid.uuid4().hex[:12]}"
        container = {
            "name": "base",
            "image": str(built.ref.at(built.digest)),
            "command": ["python", "-c", code],
            "securityContext": RESTRICTED,
            "resources": {"limits": {"memory": memory, "cpu": "1"}},
        }
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "dnsPolicy": "Default",
            "containers": [container],
        }
        begun.append(name)
        api.create_namespaced_pod("default", {"metadata": {"name": name}, "spec": spec})
        until = time.monotonic() + 120
        while time.monotonic() < until:
            pod = api.read_namespaced_pod(name, "default")
            if pod.status.phase in ("Succeeded", "Failed"):
                return pod
            time.sleep(0.5)
        raise AssertionError(f"{name} did not end: {pod.status}")

    yield start
    for name in begun:
        api.delete_namespaced_pod(name, "default", grace_period_seconds=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_pod_of_each_environment_has_the_versions_of_its_lock(name: str, run: Run, api: client.CoreV1Api) -> None:
    pod = run(CATALOGUE[name], VERSIONS, "256Mi")
    # As bytes: kubernetes 36.0.3 makes a text of them that begins with b'.
    log = api.read_namespaced_pod_log(pod.metadata.name, "default", _preload_content=False)
    said = log.data.decode()
    log.release_conn()
    assert pod.status.phase == "Succeeded", said
    locked = sorted(f"{key}=={value}" for key, value in lock.pinned(CATALOGUE[name]).items())
    assert [one.lower().replace("_", "-") for one in said.split()] == locked


def test_a_pod_that_takes_more_memory_than_its_limit_is_killed(run: Run) -> None:
    pod = run(CATALOGUE["data-ingestion"], "x = b'x' * 10**9; print(len(x))", "64Mi")
    assert pod.status.container_statuses[0].state.terminated.reason == "OOMKilled"
