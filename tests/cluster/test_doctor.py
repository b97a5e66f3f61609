"""`podenv doctor` on a real cluster: what the API server says of rights, before and after a deploy."""

from __future__ import annotations

import pytest
from tests.cluster.releases import Stage

from podenv.doctor import pods
from podenv.doctor.finding import CheckFailed, NotHere, State
from podenv.doctor.subject import Subject
from podenv.release import Target

pytestmark = pytest.mark.cluster


def test_the_rights_of_airflow_are_those_that_a_release_gives(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    account = {"name": "af-worker", "namespace": "airflow"}
    name = stage.write("etl", access={"serviceAccounts": [account]})
    monkeypatch.setenv("PODENV_CATALOGUE", str(stage.root))

    def subject() -> Subject:
        return Subject(Target(prefix=stage.prefix))

    assert pods.cluster(subject())[0] is State.OK
    assert pods.own_rights(subject()) == (State.OK, f"you may deploy to {stage.namespace(name)}")
    assert pods.releases(subject())[0] is State.WARNING
    with pytest.raises(NotHere, match="no environment is deployed yet"):
        pods.airflow_rights(subject())
    stage.deploy(name)
    assert pods.releases(subject())[0] is State.OK
    assert pods.airflow_rights(subject()) == (State.OK, "airflow/af-worker may launch pods")
    stage.cluster.delete(stage.path("RoleBinding", f"{name}-launcher", of=name, api="rbac.authorization.k8s.io/v1"))
    with pytest.raises(CheckFailed, match=f"get podtemplates in {stage.namespace(name)} by airflow/af-worker"):
        pods.airflow_rights(subject())
