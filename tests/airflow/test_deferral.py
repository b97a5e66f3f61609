"""A deferred task goes on from its pod alone, whatever became of release, Connection and catalogue meanwhile."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.airflow.conftest import NAMESPACE, deploy, settle
from tests.airflowtask import execute
from tests.pods import functions, statuses
from tests.pods.apiserver import ApiServer
from tests.pods.engine import until
from tests.pods.nodepod import NodePod

from podenv.airflow import connections
from podenv.airflow.compat import AirflowFailException
from podenv.airflow.trigger import EnvPodTrigger
from podenv.errors import PodLost

Make = Callable[..., Any]


def pods(server: ApiServer) -> list[str]:
    return [pod["metadata"]["name"] for pod in server.pods(NAMESPACE)]


def test_the_value_and_the_log_come_when_the_task_goes_on(server: ApiServer, make: Make) -> None:
    outcome = execute(make(functions.double, 21, deferrable=True))
    assert (outcome.value, outcome.printed) == (42, ["doubling"])
    until(lambda: pods(server) == [])


def undeploy(server: ApiServer) -> None:
    server.objects.remove(("podtemplates", NAMESPACE, "plain"))


def test_the_value_survives_its_release(server: ApiServer, make: Make) -> None:
    outcome = execute(make(functions.double, 21, deferrable=True), deferred=lambda event: undeploy(server))
    assert outcome.value == 42
    until(lambda: pods(server) == [])


def test_the_value_survives_its_connections_its_catalogue_and_its_function(
    server: ApiServer, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STORE", "http://store")
    operator = make(functions.double, 21, deferrable=True, connections=["store"])

    def lose(event: Any) -> None:
        monkeypatch.delenv("AIRFLOW_CONN_STORE")
        monkeypatch.setenv("PODENV_CATALOGUE", str(tmp_path / "nothing"))
        operator.python_callable = eval("lambda number: 2 * number")

    outcome = execute(operator, deferred=lose)
    assert outcome.value == 42
    until(lambda: pods(server) == [])


def test_the_value_survives_the_connection_of_the_store(
    server: ApiServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"conn_type": "aws", "login": "a", "password": "b"}
    monkeypatch.setenv("AIRFLOW_CONN_BUCKETS", json.dumps(keys))
    monkeypatch.setenv("PODENV_EXCHANGE", "s3://buckets@values")

    def lose(event: Any) -> None:
        monkeypatch.delenv("AIRFLOW_CONN_BUCKETS")
        connections.store.cache_clear()

    outcome = execute(make(functions.double, 21, deferrable=True), deferred=lose)
    assert outcome.value == 42
    until(lambda: pods(server) == [])


def vanish(server: ApiServer) -> None:
    server.kubelet.pod(pods(server)[0], NAMESPACE).vanish()


def test_a_pod_that_vanished_while_the_task_was_deferred_is_launched_again_only_with_retries(
    server: ApiServer, make: Make
) -> None:
    times: list[str] = []

    def lose_the_first(event: Any) -> None:
        times.append(event["name"])
        if len(times) == 1:
            vanish(server)

    refused = execute(make(functions.double, 21, deferrable=True), deferred=lose_the_first)
    assert isinstance(refused.error, PodLost)
    assert "so it is not started again; set retries, or relaunch=N" in refused.message
    times.clear()
    allowed = execute(make(functions.double, 21, deferrable=True, retries=1), deferred=lose_the_first)
    assert allowed.value == 42
    assert times[1] == f"{times[0]}-again1"
    until(lambda: pods(server) == [])


def test_an_environment_that_allows_it_has_its_tasks_launched_again(server: ApiServer, make: Make) -> None:
    undeploy(server)
    deploy(server, **{"podenv.dev/relaunch": "1"})
    times: list[str] = []

    def evict(pod: NodePod) -> None:
        pod.schedule()
        pod.start()
        pod.fail("Evicted", "The node was low on resource: memory.")

    server.kubelet.plans = [evict]
    outcome = execute(make(functions.double, 21, deferrable=True), deferred=lambda event: times.append(event["name"]))
    assert outcome.value == 42
    assert times[1] == f"{times[0]}-again1"


def test_a_pod_that_cannot_be_launched_again_because_its_release_is_gone_says_both(
    server: ApiServer, make: Make
) -> None:
    def lose(event: Any) -> None:
        undeploy(server)
        vanish(server)

    outcome = execute(make(functions.double, 21, deferrable=True, retries=1), deferred=lose)
    assert isinstance(outcome.error, PodLost)
    assert any("It cannot be started again: Environment 'plain' is not deployed" in line for line in outcome.log)


def test_a_deferred_task_out_of_memory_grows(server: ApiServer, make: Make) -> None:
    def killed(pod: NodePod) -> None:
        pod.schedule()
        pod.start()
        pod.end(137, "OOMKilled")

    server.kubelet.plans = [killed, killed]
    operator = make(functions.double, 21, deferrable=True, memory="1Gi", max_memory="4Gi")
    assert execute(operator).value == 42
    containers = [asked.body["spec"]["containers"][0] for asked in server.asked("POST .*/pods$")]
    assert [one["resources"]["limits"]["memory"] for one in containers] == ["1Gi", "2Gi", "4Gi"]
    until(lambda: pods(server) == [])


def test_a_pod_that_can_never_start_ends_the_wait(server: ApiServer, make: Make) -> None:
    def never(pod: NodePod) -> None:
        pod.schedule()
        pod.waiting("ErrImagePull", 'failed to resolve reference "registry.example/plain": not found')

    server.kubelet.plans = [never]
    outcome = execute(make(functions.double, 21, deferrable=True))
    assert isinstance(outcome.error, AirflowFailException)
    assert "the image cannot be pulled" in outcome.message
    assert outcome.seconds < 20
    until(lambda: pods(server) == [])


def test_a_server_that_is_away_for_a_moment_costs_the_trigger_nothing(server: ApiServer, make: Make) -> None:
    server.trouble("GET .*/pods/", refuse=statuses.unavailable())
    assert execute(make(functions.double, 21, deferrable=True)).value == 42


def test_a_trigger_without_a_way_to_the_cluster_says_so_and_ends_at_once(
    server: ApiServer, make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The triggerer's machine lacks the kubeconfig: the worker then follows the pod itself, and nothing is lost."""
    real = EnvPodTrigger.serialize

    def elsewhere(trigger: EnvPodTrigger) -> tuple[str, dict[str, Any]]:
        path, arguments = real(trigger)
        return path, {**arguments, "connection_extras": {"kube_config_path": "/nonexistent"}}

    monkeypatch.setattr(EnvPodTrigger, "serialize", elsewhere)
    events: list[Any] = []
    outcome = execute(make(functions.sleeps, 0.2, deferrable=True), deferred=events.append)
    assert [event["status"] for event in events] == ["error"]
    assert "cannot be read: ConfigException: Invalid kube-config file" in capsys.readouterr().out
    assert outcome.value == "awake"
    assert outcome.seconds < 20


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    """Airflow in the cluster: a service account's token, a certificate, an address, and no kubeconfig."""
    certificate, context = authority(tmp_path)
    server = ApiServer(tls=context)
    server.tokens = {"of-the-service-account"}
    deploy(server)
    (tmp_path / "token").write_text("of-the-service-account")
    for library in ("kubernetes", "kubernetes_asyncio"):
        monkeypatch.setattr(f"{library}.config.incluster_config.SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
        monkeypatch.setattr(f"{library}.config.incluster_config.SERVICE_CERT_FILENAME", str(certificate))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AIRFLOW_CONN_KUBERNETES_DEFAULT", raising=False)
    settle(monkeypatch)
    yield server
    server.close()


def authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for this machine, and what a server needs of it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "ca.crt", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return certificate, context


@pytest.mark.parametrize("deferrable", [False, True])
def test_inside_a_cluster_worker_and_trigger_use_the_service_account(
    inside: ApiServer, make: Make, deferrable: bool
) -> None:
    events: list[Any] = []
    outcome = execute(make(functions.sleeps, 0.3, deferrable=deferrable), deferred=events.append)
    assert outcome.value == "awake", outcome
    assert [event["status"] for event in events] == (["success"] if deferrable else [])
    assert {asked.token for asked in inside.requests} == {"of-the-service-account"}
    until(lambda: pods(inside) == [])


def test_inside_a_cluster_a_new_token_is_read_when_the_old_one_expires(
    inside: ApiServer, make: Make, tmp_path: Path
) -> None:
    def rotate() -> None:
        (tmp_path / "token").write_text("of-the-next-hour")
        inside.tokens = {"of-the-next-hour"}

    inside.trouble("GET .*/log", before=rotate)
    outcome = execute(make(functions.sleeps, 0.3))
    assert outcome.value == "awake", outcome
    until(lambda: pods(inside) == [])
