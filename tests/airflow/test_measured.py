"""What a task used is in its log, in a rendered field, in the task's state store and in Airflow's metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.airflow.conftest import IMAGE
from tests.airflowtask import execute
from tests.pods import functions
from tests.pods.apiserver import ApiServer
from tests.pods.nodepod import NodePod

from podenv.airflow import compat
from podenv.errors import FunctionRaised, OutOfMemory

Make = Callable[..., Any]
MIB = 2**20


def killed(pod: NodePod) -> None:
    pod.schedule()
    pod.start()
    pod.end(137, "OOMKilled")


class Broken:
    """Airflow's metrics where nobody can take them."""

    @staticmethod
    def incr(*_: Any, **__: Any) -> None:
        raise OSError("no route to the metrics")


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("deferrable", [False, True])
def test_the_log_ends_with_what_the_task_used_and_the_rendered_field_keeps_it(make: Make, deferrable: bool) -> None:
    asked = {"memory": "256Mi", "cpu": "1", "deferrable": deferrable}
    outcome = execute(make(functions.hold, 100 * MIB, **asked))
    kept = outcome.operator.podenv
    assert outcome.log[-1].startswith(f"Peak {kept['peak_memory_bytes'] / MIB:.0f} MiB of 256 MiB, ")
    assert 100 * MIB < kept["peak_memory_bytes"] < 120 * MIB
    known = ("environment", "backend", "state", "image", "memory_limit_bytes", "cpu_limit_cores", "growths")
    assert {name: kept[name] for name in known} == {
        "environment": "plain",
        "backend": "kubernetes",
        "state": "success",
        "image": IMAGE,
        "memory_limit_bytes": 256 * MIB,
        "cpu_limit_cores": 1.0,
        "growths": 0,
    }
    assert "podenv" in outcome.operator.template_fields


@pytest.mark.usefixtures("server")
def test_a_task_that_fails_is_measured_too(make: Make) -> None:
    outcome = execute(make(functions.raises, "on purpose"))
    assert isinstance(outcome.error, FunctionRaised)
    assert any(line.startswith("Peak ") for line in outcome.log)
    assert (outcome.operator.podenv["state"], outcome.operator.podenv["failure"]) == ("failed", "FunctionRaised")


def test_of_a_task_that_the_kernel_ended_its_limit_is_known(server: ApiServer, make: Make) -> None:
    server.kubelet.plans = [killed, killed]
    outcome = execute(make(functions.double, 1, memory="64Mi", max_memory="128Mi"))
    assert isinstance(outcome.error, OutOfMemory)
    assert any(line.startswith("Peak at least 128 MiB, its limit, ") for line in outcome.log)
    kept = outcome.operator.podenv
    assert (kept["state"], kept["growths"], kept["out_of_memory_kills"]) == ("out_of_memory", 1, 1)
    assert "peak_memory_bytes" not in kept


@pytest.mark.usefixtures("server")
def test_each_try_is_kept_where_airflow_has_a_store_for_it(make: Make) -> None:
    store: dict[str, Any] = {}

    class Store:
        set = staticmethod(store.__setitem__)

    outcome = execute(make(functions.double, 1), try_number=2, task_state_store=Store())
    assert store == {"podenv-2": outcome.operator.podenv}


@pytest.mark.usefixtures("server")
def test_metrics_that_cannot_be_sent_do_not_fail_the_task(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(compat), "Stats", Broken)
    outcome = execute(make(functions.double, 21))
    assert outcome.value == 42
    assert outcome.log[-1] == "What this task used is not kept everywhere: no route to the metrics."
    assert outcome.operator.podenv["state"] == "success"
