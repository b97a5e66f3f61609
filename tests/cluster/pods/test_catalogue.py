"""`[podenv] catalogue = cluster`: an Airflow that has DAGs and no `envs/` knows the environments that are deployed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.client import RbacAuthorizationV1Api

from podenv.errors import UnknownEnvironment

if TYPE_CHECKING:
    from tests.cluster.pods.conftest import Cluster


@pytest.fixture
def may_list(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Airflow's account may list PodTemplates everywhere; the catalogue is the cluster."""
    from podenv.airflow import deployed

    rbac = RbacAuthorizationV1Api(cluster.core.api_client)
    name = f"{cluster.namespace}-catalogue"
    account = cluster.namespace.removesuffix("plain") + "airflow"
    rules = [{"apiGroups": [""], "resources": ["podtemplates"], "verbs": ["list"]}]
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subjects = [{"kind": "ServiceAccount", "name": "worker", "namespace": account}]
    rbac.create_cluster_role({"metadata": {"name": name}, "rules": rules})
    rbac.create_cluster_role_binding({"metadata": {"name": name}, "roleRef": reference, "subjects": subjects})
    monkeypatch.delenv("PODENV_CATALOGUE")
    monkeypatch.setenv("AIRFLOW__PODENV__CATALOGUE", "cluster")
    deployed._read.cache_clear()
    yield
    deployed._read.cache_clear()
    rbac.delete_cluster_role_binding(name)
    rbac.delete_cluster_role(name)


def one() -> int:
    return 1


@pytest.mark.usefixtures("may_list")
def test_deployed_environments_are_known_and_others_are_refused_when_the_dag_is_parsed(
    make: Callable[..., Any], run: Callable[..., Any]
) -> None:
    with pytest.raises(
        UnknownEnvironment, match=r"^There is no environment 'plane' in the cluster\. Did you mean 'pla"
    ):
        make(one, env="plane")
    assert run(one).value == 1
