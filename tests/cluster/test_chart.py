"""The chart on a real cluster: what helm installs is accepted, its pods run, and its tests tell right from wrong."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.stream import stream
from tests.chart.helm import CHART, SUPPORTED, Helm, Object, fetch

from podenv.catalogue import names, values
from podenv.catalogue.environment import Catalogue
from podenv.errors import ProgramFailed
from podenv.image.build import Images, Options

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.cluster

NAME = "data-ingestion"
EVERYTHING = values.read(ROOT / "tests" / "chart" / "everything.yaml")
# Runs as a task would, and tells what it finds.
PROBE = """
import json, os, sys, pathlib
def may_write(folder):
    try:
        pathlib.Path(folder, "x").write_text("x")
    except OSError:
        return False
    return True
import palmerpenguins
print(json.dumps({
    "python": "%d.%d" % sys.version_info[:2], "uid": os.getuid(), "home": os.environ["HOME"], "A": os.environ["A"],
    "tmp": may_write("/tmp"), "root": may_write("/"), "own packages": may_write(palmerpenguins.__path__[0]),
    "token": os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token"),
}))
"""


@pytest.fixture(scope="module")
def image() -> Object:
    """The image of a real environment, in the registry."""
    built = Images(Options(push=True)).build(Catalogue(ROOT / "envs")[NAME])
    assert built.digest is not None
    return {"repository": built.ref.path, "registry": built.ref.host, "digest": built.digest}


@pytest.fixture(scope="module")
def api() -> Iterator[client.CoreV1Api]:
    config.load_kube_config()
    with client.ApiClient() as connection:
        yield client.CoreV1Api(connection)
    connection.rest_client.pool_manager.clear()  # closing the client leaves its sockets open (seen with version 36)


@pytest.fixture(params=SUPPORTED)
def release(request: pytest.FixtureRequest, api: client.CoreV1Api, image: Object) -> Iterator[Release]:
    """A namespace under Pod Security "restricted", and a helm; both are gone afterwards."""
    namespace = f"podenv-chart-{uuid.uuid4().hex[:8]}"
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    api.create_namespace({"metadata": {"name": namespace, "labels": levels}})
    try:
        yield Release(Helm(fetch(request.param)), namespace, api, image)
    finally:
        api.delete_namespace(namespace, grace_period_seconds=0)


class Release:
    """One environment's release."""

    def __init__(self, helm: Helm, namespace: str, api: client.CoreV1Api, image: Object) -> None:
        self.helm = helm
        self.namespace = namespace
        self.api = api
        self.least: Object = {"python": "3.11", "image": image, "lock": {"packages": ["palmerpenguins"]}}

    def upgrade(self, more: Object | None = None, *options: str) -> str:
        given = values.merge(self.least, more or {})
        argv = ("upgrade", "--install", NAME, str(CHART), "--namespace", self.namespace, "--values", "-", *options)
        return self.helm.run(*argv, given=given)

    def template(self) -> Any:
        return self.api.read_namespaced_pod_template(NAME, self.namespace)

    def run_pod(self, *command: str) -> str:
        """Run a pod made from the PodTemplate, as a task is; what it printed."""
        made = self.api.api_client.sanitize_for_serialization(self.template().template)
        made["metadata"]["name"] = name = f"task-{uuid.uuid4().hex[:6]}"
        made["spec"]["containers"][0]["command"] = list(command)
        self.api.create_namespaced_pod(self.namespace, made)
        assert self.end_of(name) == "Succeeded"
        return self.log(name)

    def status(self, pod: str) -> Any:
        """What the cluster says of the pod's only container."""
        return self.api.read_namespaced_pod(pod, self.namespace).status.container_statuses[0]

    def log(self, pod: str) -> str:
        # Preloaded, the client of Kubernetes 36 parses what looks like JSON.
        answer = self.api.read_namespaced_pod_log(pod, self.namespace, _preload_content=False)
        return str(answer.data.decode())

    def end_of(self, pod: str) -> str:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            phase = self.api.read_namespaced_pod(pod, self.namespace).status.phase
            if phase in ("Succeeded", "Failed"):
                return str(phase)
            time.sleep(0.5)
        raise AssertionError(f"{pod} is still {phase}")


def test_a_pod_made_from_the_template_runs_and_helm_test_passes(release: Release) -> None:
    release.upgrade({"env": {"A": "$(HOME) $$"}})
    said = json.loads(release.run_pod("python", "-c", PROBE))
    assert said == {
        "python": "3.11",
        "uid": 50000,
        "home": "/tmp",
        "A": "$(HOME) $$",
        "tmp": True,
        "root": False,
        "own packages": False,
        "token": False,
    }
    assert "Succeeded" in release.helm.run("test", NAME, "--namespace", release.namespace, "--timeout", "2m")
    log = release.log(names.part(NAME, "test"))
    assert "import palmerpenguins: " in log


def test_a_failed_helm_test_leaves_its_pod_to_be_read(release: Release) -> None:
    release.upgrade({"python": "3.8", "lock": {"packages": ["no-such-package"]}})
    with pytest.raises(ProgramFailed):
        release.helm.run("test", NAME, "--namespace", release.namespace, "--timeout", "2m")
    log = release.log(names.part(NAME, "test"))
    assert "FAILED the image has Python 3.11, the values say 3.8" in log
    assert "FAILED no-such-package is in the lock and not in the image" in log


def test_a_rollback_brings_the_old_template_back(release: Release) -> None:
    release.upgrade({"env": {"A": "1"}})
    before = release.template()
    release.upgrade({"env": {"A": "2"}, "resources": {"limits": {"memory": "2Gi"}}})
    assert release.template().template != before.template
    release.helm.run("rollback", NAME, "1", "--namespace", release.namespace)
    after = release.template()
    assert after.template == before.template
    assert after.metadata.annotations == before.metadata.annotations


def test_a_pod_that_cannot_be_is_refused_and_the_release_stays(release: Release) -> None:
    release.upgrade()
    before = release.template()
    with pytest.raises(ProgramFailed, match="volumeMounts"):
        release.upgrade({"volumeMounts": [{"name": "nowhere", "mountPath": "/data"}]})
    assert release.template().template == before.template


def test_the_launcher_may_do_what_airflow_needs_and_no_more(release: Release) -> None:
    user = "airflow@example.com"
    reviews = client.AuthorizationV1Api(release.api.api_client)

    def may(verb: str, resource: str) -> bool:
        kind, _, part = resource.partition("/")
        attributes = {"namespace": release.namespace, "verb": verb, "resource": kind, "subresource": part}
        review = reviews.create_subject_access_review({"spec": {"user": user, "resourceAttributes": attributes}})
        return bool(review.status.allowed)

    pods = [(verb, "pods") for verb in ("create", "get", "list", "watch", "patch", "delete")]
    needed = [("get", "podtemplates"), *pods, ("get", "pods/log"), ("list", "events")]
    asked_for = [("create", "secrets")]
    attach = [(verb, "pods/attach") for verb in ("create", "get")]
    shell = [(verb, f"pods/{part}") for verb in ("create", "get") for part in ("exec", "portforward")]
    never = shell + [(verb, kind) for verb in ("get", "list", "update") for kind in ("secrets", "configmaps", "roles")]

    release.upgrade({"access": {"users": [user]}})
    assert [one for one in needed if not may(*one)] == []
    assert [one for one in asked_for + attach + never if may(*one)] == []
    release.upgrade({"access": {"users": [user], "secrets": True}, "warm": {"idle": 1}})
    assert [one for one in needed + asked_for + attach if not may(*one)] == []
    assert [one for one in never if may(*one)] == []


def test_the_pre_puller_becomes_ready_and_hears_sigterm(release: Release) -> None:
    release.upgrade({"prePull": {"enabled": True}}, "--wait", "--timeout", "2m")
    selector = ",".join(f"{key}={value}" for key, value in names.selector(NAME, "pre-pull").items())
    found = release.api.list_namespaced_pod(release.namespace, label_selector=selector).items
    assert found
    assert all(pod.status.container_statuses[0].ready for pod in found)
    # Process 1 of a container ignores SIGTERM, also its own, unless it has a handler.
    end = ["python", "-c", "import os, signal; os.kill(1, signal.SIGTERM)"]
    name = found[0].metadata.name
    run = release.api.connect_get_namespaced_pod_exec
    running = stream(run, name, release.namespace, command=end, stderr=True, stdout=True, _preload_content=False)
    running.run_forever(timeout=30)
    running.sock.shutdown()  # close() leaves the socket of a stream that the server ended (seen with version 36)
    deadline = time.monotonic() + 60
    while (last := release.status(name).last_state.terminated) is None:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert last.exit_code == 0


def test_the_cluster_accepts_everything_there_is(release: Release) -> None:
    version = client.VersionApi(release.api.api_client).get_code()
    given = EVERYTHING
    if int(version.minor.rstrip("+")) < 25:  # endPort is beta in 1.22, stable in 1.25
        given = values.merge(given, {"networkPolicy": {"egress": [{"cidr": "0.0.0.0/0", "ports": [{"port": 443}]}]}})
    given = values.merge(given, {"image": release.least["image"], "python": "3.11", "prePull": {"enabled": False}})
    release.upgrade(given)
    release.upgrade({})
    release.upgrade(given)
    assert release.template().template.spec.runtime_class_name == "nvidia"


def test_a_quota_brings_limits_along_for_pods_that_name_none(release: Release) -> None:
    release.upgrade({"resourceQuota": {"hard": {"limits.memory": "4Gi", "requests.cpu": 2}}})
    pod = {
        "metadata": {"name": "plain"},
        "spec": {
            "containers": [{"name": "a", "image": "x"}],
            "automountServiceAccountToken": False,
            "serviceAccountName": NAME,
        },
    }
    made = release.api.create_namespaced_pod(release.namespace, pod, dry_run="All")
    assert made.spec.containers[0].resources.limits == {"cpu": "1", "memory": "1Gi"}
