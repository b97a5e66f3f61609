"""One deployed environment, and Airflow's side with a service account that may do what the chart grants.

The environment `plain` is the dev cluster's base image; the chart deploys it as `podenv up` does.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest
import yaml

ROOT = Path(__file__).parents[3]
for _folder in (ROOT, ROOT / "scripts"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

from tests import airflowtask  # noqa: E402
from tests.airflowhome import prepare  # noqa: E402
from tests.airflowtask import InBackground as InBackground  # noqa: E402 - the tests take it from here
from tests.airflowtask import Outcome as Outcome  # noqa: E402
from tests.cluster.pods import plainproxy  # noqa: E402
from tests.cluster.pods.registry import Registry  # noqa: E402

PROJECT = Path(__file__).parent / "project"
NAME = "plain"

prepare(PROJECT / "dags")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            # Of Airflow's own, on what it imports, and of its check that execute() is not called by hand.
            for said in ("Using `httpx` with `starlette.testclient`", "Could not import graphviz", "'HTTP_422_"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore:{said}"))


class Proxy:
    """Stands between Airflow's side and the API server, and can cut what passes."""

    def __init__(self, server: str) -> None:
        at = urlsplit(server)
        self._server = (at.hostname, at.port or 443)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: set[socket.socket] = set()
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self) -> None:
        """End every connection."""
        for one in list(self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            near, _ = self._listener.accept()
            try:
                far = socket.create_connection(self._server)
            except OSError:
                near.close()
                continue
            for source, sink in ((near, far), (far, near)):
                self._sockets.add(source)
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with source, suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
        self._sockets.discard(source)


class Cluster:
    """The environment under test, seen by the one who administers the cluster."""

    def __init__(
        self,
        core: Any,
        namespace: str,
        image: str,
        proxy: Proxy,
        deploy: Callable[..., str],
        rollback: Callable[[str], object],
    ) -> None:
        self.proxy = proxy
        self.deploy = deploy  # another environment of the project, with more values; its namespace
        self.rollback = rollback
        self.core = core
        self.namespace = namespace
        self.image = image

    def container(self, name: str, code: str) -> dict[str, Any]:
        """A container beside the task's that Pod Security "restricted" takes, where a cluster enforces it."""
        return {
            "name": name,
            "image": self.image,
            "command": ["python", "-c", code],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }

    def pods(self, namespace: str | None = None, /, **labels: str) -> list[Any]:
        """The task pods that are not on their way out."""
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        listed = self.core.list_namespaced_pod(namespace or self.namespace, label_selector=selector).items
        return [pod for pod in listed if pod.metadata.deletion_timestamp is None]

    def evict(self, pod: Any) -> None:
        """Ask the server to let the pod go, as ``kubectl drain`` does."""
        from kubernetes.client import ApiException

        name, namespace = pod.metadata.name, pod.metadata.namespace
        body = {"kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
        try:
            self.core.create_namespaced_pod_eviction(name, namespace, {"apiVersion": "policy/v1", **body})
        except ApiException:  # Kubernetes 1.22 brought it
            self.core.create_namespaced_pod_eviction(name, namespace, {"apiVersion": "policy/v1beta1", **body})

    def await_pod(
        self, task_id: str, ready: Callable[[Any], bool] = lambda pod: True, namespace: str | None = None
    ) -> Any:
        """The first pod of the task that is ``ready``."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for pod in self.pods(namespace, task_id=task_id):
                if ready(pod):
                    return pod
            time.sleep(0.1)
        raise AssertionError(f"no pod of {task_id} in 60 s")


@pytest.fixture(scope="session")
def cluster(_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    from kubernetes import client, config

    from podenv.catalogue.environment import Catalogue
    from podenv.catalogue.reference import ImageRef
    from podenv.release import Releases, Target

    config.load_kube_config()
    admin = client.ApiClient()
    core = client.CoreV1Api(admin)
    prefix = f"podenv-t{secrets.token_hex(3)}-"
    host = os.environ["PODENV_REGISTRY"]
    links = {"usr/local/bin/python": "/usr/bin/python3"}
    try:
        digest = Registry(host).derive("podenv/base", "py3.13", "podenv-tests/plain", links)
    except HTTPError as error:
        pytest.skip(f"needs podenv/base:py3.13 in {host}, as `scripts/dev-cluster up` pushes it: {error}")
    airflow = f"{prefix}airflow"
    core.create_namespace({"metadata": {"name": airflow}})
    core.create_namespaced_service_account(airflow, {"metadata": {"name": "worker"}})

    os.environ["PODENV_CATALOGUE"] = str(PROJECT / "envs")
    deployed = []
    releases = Releases(Target(prefix=prefix))

    def deploy(name: str, **values: Any) -> str:
        environment = Catalogue(PROJECT / "envs")[name]
        account = {"name": "worker", "namespace": airflow}
        environment.values.update(values, access={"serviceAccounts": [account], "secrets": True})
        ref = ImageRef(host, "podenv-tests/plain", digest=digest)
        spec = releases.spec_with_image(environment, ref, lock_hash="f" * 64)
        deployed.append(f"{prefix}{name}")
        releases.deploy(spec, releases.survey(releases.places([environment]))[name])
        return deployed[-1]

    def rollback(name: str) -> object:
        return releases.rollback(releases.rollback_plan(name, f"{prefix}{name}", None))

    deploy(NAME)

    proxy = Proxy(admin.configuration.host)
    kubeconfig = tmp_path_factory.mktemp("airflow") / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(_kubeconfig(admin.configuration, _token(core, airflow), proxy.url)))
    connection = {"conn_type": "kubernetes", "extra": {"kube_config_path": str(kubeconfig)}}
    os.environ |= {
        "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps(connection),
        "AIRFLOW__PODENV__NAMESPACE_PREFIX": prefix,
        "PODENV_BACKEND": "kubernetes",
    }
    try:
        yield Cluster(core, f"{prefix}{NAME}", f"{host}/podenv-tests/plain@{digest}", proxy, deploy, rollback)
    finally:
        for name in {*deployed, airflow}:
            core.delete_namespace(name)
        for name in ("AIRFLOW_CONN_KUBERNETES_DEFAULT", "AIRFLOW__PODENV__NAMESPACE_PREFIX", "PODENV_CATALOGUE"):
            del os.environ[name]
        del os.environ["PODENV_BACKEND"]


def _token(core: Any, namespace: str) -> str:
    made = core.create_namespaced_service_account_token("worker", namespace, {"spec": {"expirationSeconds": 7200}})
    return str(made.status.token)


def _kubeconfig(admin: Any, token: str, server: str) -> dict[str, Any]:
    authority = base64.b64encode(Path(admin.ssl_ca_cert).read_bytes()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": "worker", "user": {"token": token}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "worker"}}],
        "current-context": "c",
    }


@pytest.fixture
def plain_proxy(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The id of a connection through a proxy that knows no WebSocket."""
    given = json.loads(os.environ["AIRFLOW_CONN_KUBERNETES_DEFAULT"])
    admin = cluster.core.api_client.configuration
    config = yaml.safe_load(Path(given["extra"]["kube_config_path"]).read_text())
    with plainproxy.serving(admin.host, admin.ssl_ca_cert) as address:
        config["clusters"][0]["cluster"] = {"server": address}
        file = tmp_path / "kubeconfig"
        file.write_text(yaml.safe_dump(config))
        given["extra"]["kube_config_path"] = str(file)
        monkeypatch.setenv("AIRFLOW_CONN_PLAIN_PROXY", json.dumps(given))
        yield "plain_proxy"


@pytest.fixture(scope="session")
def make(cluster: Cluster) -> Callable[..., Any]:
    """Makes an operator with a function (`make(function, *args, ...)`) or a command (`make(cmds=...)`)."""
    from airflow.sdk import DAG

    from podenv import EnvPodOperator

    def made(function: Callable[..., Any] | None = None, *args: Any, **given: Any) -> Any:
        if function is not None:
            given |= {"python_callable": function, "op_args": list(args)}
        task_id = given.pop("task_id", f"t{secrets.token_hex(4)}")
        return EnvPodOperator(task_id=task_id, dag=DAG("tests", schedule=None), env=given.pop("env", NAME), **given)

    return made


@pytest.fixture(scope="session")
def execute() -> Callable[..., Outcome]:
    """Executes an operator in this thread, on the real cluster."""
    return airflowtask.execute


@pytest.fixture(scope="session")
def run(make: Callable[..., Any], execute: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Makes an operator and executes it."""

    def ran(function: Callable[..., Any] | None = None, *args: Any, **given: Any) -> Outcome:
        return execute(make(function, *args, **given))

    return ran


@pytest.fixture(scope="session")
def start(make: Callable[..., Any]) -> Callable[..., InBackground]:
    """Makes an operator and executes it in the background."""

    def started(function: Callable[..., Any] | None = None, *args: Any, **given: Any) -> InBackground:
        return InBackground(make(function, *args, **given))

    return started


@pytest.fixture(scope="session")
def throttling() -> Iterator[str]:
    """The address of a registry that says 429 to everything."""

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(429)
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
