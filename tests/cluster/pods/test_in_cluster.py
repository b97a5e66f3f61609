"""Airflow inside the cluster: a service account's token, and no kubeconfig anywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml

if TYPE_CHECKING:
    from tests.cluster.pods.conftest import Cluster, Outcome


def waits(seconds: float) -> str:
    import time

    time.sleep(seconds)
    return "waited"


@pytest.fixture
def in_a_pod(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kubelet gives to each container: a token, a certificate, the API server's address."""
    import json
    import os

    connection = json.loads(os.environ["AIRFLOW_CONN_KUBERNETES_DEFAULT"])
    kubeconfig = yaml.safe_load(Path(connection["extra"]["kube_config_path"]).read_text())
    (tmp_path / "token").write_text(kubeconfig["users"][0]["user"]["token"])
    authority = Path(cluster.core.api_client.configuration.ssl_ca_cert)
    server = urlsplit(cluster.core.api_client.configuration.host)
    for library in ("kubernetes", "kubernetes_asyncio"):
        monkeypatch.setattr(f"{library}.config.incluster_config.SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
        monkeypatch.setattr(f"{library}.config.incluster_config.SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(server.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "AIRFLOW_CONN_KUBERNETES_DEFAULT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("in_a_pod")
def test_a_task_reaches_the_cluster_that_it_runs_in(run: Callable[..., Outcome]) -> None:
    outcome = run(waits, 0)
    assert outcome.value == "waited"
    assert outcome.operator.hook.is_in_cluster


@pytest.mark.usefixtures("in_a_pod")
def test_the_trigger_of_a_deferred_task_reaches_it_too(
    run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    from podenv.airflow.trigger import EnvPodTrigger

    statuses: list[str] = []
    real = EnvPodTrigger._status

    async def noted(self: Any) -> str:
        statuses.append(await real(self))
        return statuses[-1]

    monkeypatch.setattr(EnvPodTrigger, "_status", noted)
    outcome = run(waits, 2, deferrable=True, poll_interval=0.5)
    assert outcome.value == "waited"
    # Not "error" nor "timeout", after which the worker would follow the pod itself.
    assert statuses == ["success"]
