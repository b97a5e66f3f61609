"""Names and records that nobody should write: each page says something, runs no markup, and does not fail."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from tests.ui.conftest import (
    HOSTILE,
    NOW,
    USAGE,
    Get,
    add_dag,
    add_rendered,
    add_run,
    add_try,
    fill,
    pages_over,
    session_of,
)

NAMES = (
    "<script>alert('x')</script>", "a/b", "../../etc/passwd", "..", "100%", "a?b#c&d", "a\0b", "\u202eü 😀", "x" * 5000,
    "' OR 1=1 --", "{{ 7*7 }}", "²", "٣", "-5", "9" * 30, "9" * 5000,
)  # fmt: skip
IN_PATH = (
    "env/{}", "dag/{}", "task/{}/total", "task/report/{}", "run/{}/r/total/-1", "run/report/{}/total/-1",
    "run/report/r/{}/-1", "run/report/r/total/{}", "releases/{}", "static/{}", "{}",
)  # fmt: skip
IN_QUERY = (
    "?q={}",
    "?sort={}",
    "?page={}",
    "env/reporting?q={}",
    "env/reporting?before={}",
    "releases/reporting?after={}",
)


@pytest.mark.parametrize("page", [*IN_PATH, *IN_QUERY])
def test_an_address_may_hold_anything(served: Any, get: Get, engine: Any, project: Any, page: str) -> None:
    expected = {200, 404, 422} if page in IN_QUERY else {200, 404}
    with session_of(engine) as session, pages_over(served, session):
        fill(session, project)
        for name in NAMES:
            answer = get(page.format(quote(name, safe="")))
            assert answer.status_code in expected, name
            assert answer.headers["content-type"].startswith("text/html"), name
            assert "<script>alert" not in answer.text


def test_an_address_that_is_not_valid_says_what_is_wrong(get: Get) -> None:
    answer = get("?page=next")
    assert answer.status_code == 422
    assert "This address is not valid. page: Input should be a valid integer" in answer.text
    assert get(f"?q={'x' * 201}", accept="application/json").json() == {
        "detail": "This address is not valid. q: String should have at most 200 characters."
    }


def test_names_in_the_database_are_text_and_their_links_lead_to_them(
    served: Any, get: Get, engine: Any, project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag_id, task_id, run_id, environment = "größe.😀", "a.b-ü", "50%/<b>&?#", f"{HOSTILE}/../%"
    with session_of(engine) as session, pages_over(served, session):
        fill(session, project)
        allow(monkeypatch, dag_id)
        task = {"task_id": task_id, "env": environment, "memory": HOSTILE, "template_fields": ["podenv"]}
        add_dag(session, serialised(session, dag_id, task))
        add_run(session, dag_id, NOW, run_id)
        key = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": 10}
        add_try(session, began=NOW, state="success", **key)
        add_rendered(
            session, {"podenv": {**USAGE, "environment": environment}, "pod_page": "javascript:alert(1)"}, **key
        )
        listed = get("").text
        assert "not in this machine" in listed
        assert "<script>alert" not in listed
        (address,) = re.findall(r'href="/podenv/(env/%3C[^"]+)"', listed)
        for page in (address, f"dag/{quote(dag_id)}", f"task/{quote(dag_id)}/{quote(task_id)}"):
            shown = get(page)
            assert (shown.status_code, HOSTILE in shown.text, "<b>" in shown.text) == (200, False, False)
            assert f'href="dags/{quote(dag_id)}/' in shown.text
        run = get(f"run/{quote(dag_id)}/{quote(run_id, safe='')}/{quote(task_id)}/10").text
        assert "384 MiB of 512 MiB" in run
        assert "javascript:" not in run


WRONG: tuple[dict[str, Any], ...] = (
    {"environment": [1]}, {"environment": {"a": "b"}}, {"lock": 1}, {"seconds": "long"}, {"seconds": float("nan")},
    {"reasons": [1]}, {"reasons": {"a": []}}, {"times": "never"}, {"times": {"created": "soon"}}, {"message": {}},
    {"peak_memory_bytes": "1"}, {"peak_memory_bytes": float("inf")}, {"peak_memory_bytes": -1},
    {"memory_limit_bytes": 0}, {"python": 3.11}, {"backend": []}, {"pod": HOSTILE}, {"failure": True},
)  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_record_of_another_shape_is_left_out_where_it_is_wrong(
    get: Get, served: Any, project: Any, wrong: Any
) -> None:
    from airflow import settings

    with session_of(settings.engine) as session, pages_over(served, session):
        key = {"dag_id": "report", "run_id": "odd", "task_id": "total", "map_index": -1}
        add_run(session, "report", NOW, "odd")
        add_try(session, began=NOW, state="failed", **key)
        add_rendered(session, {"podenv": {**USAGE, **wrong}}, **key)
        pages = [get(page) for page in ("run/report/odd/total/-1", "env/reporting", "task/report/total")]
        assert [page.status_code for page in pages] == [200, 200, 200]
        assert "Python" in pages[0].text
        assert HOSTILE not in pages[0].text


def test_a_field_env_of_another_operator_is_no_environment(
    served: Any, get: Get, project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow import settings

    with session_of(settings.engine) as session, pages_over(served, session):
        allow(monkeypatch, "others")
        add_dag(session, serialised(session, "others", {"task_id": "a", "env": "prod", "template_fields": ["env"]}))
        assert "No task of this DAG uses an environment." in get("dag/others").text
        assert "prod" not in get("").text


def serialised(session: Any, dag_id: str, task: dict[str, Any]) -> Any:
    """A DAG of one task, as Airflow keeps it."""
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    (report,) = SerializedDagModel.get_latest_serialized_dags(dag_ids=["report"], session=session)
    data = json.loads(json.dumps(report.data))
    plain = next(one for one in data["dag"]["tasks"] if one["__var"]["task_id"] == "plain")
    data["dag"] |= {
        "dag_id": dag_id,
        "tasks": [{**plain, "__var": {**plain["__var"], **task, "downstream_task_ids": []}}],
    }
    return LazyDeserializedDAG(data=data)


def allow(monkeypatch: pytest.MonkeyPatch, *dag_ids: str) -> None:
    """The user may read these DAGs."""
    from airflow.api_fastapi.app import get_auth_manager

    monkeypatch.setattr(type(get_auth_manager()), "get_authorized_dag_ids", lambda self, **_: set(dag_ids))
