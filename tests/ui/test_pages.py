"""Each page, as Airflow serves it: what it shows, to whom, and that nothing of it is more than text."""

from __future__ import annotations

import json
import re
import threading
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from tests.registryserver import Answer, Asked, serving
from tests.ui.conftest import HOSTILE, LOCK, Get

RUN = "run/report/manual__1+00:00/total/{MAP_INDEX}"
PAGES = ["", "env/reporting", "dag/report", "task/report/total", RUN, "releases?name=reporting", "releases/reporting"]


def text(answer: Any) -> str:
    """What a person reads of a page."""
    assert answer.status_code == 200, answer.text
    without = re.sub(r"<(script|style).*?</\1>", "", answer.text, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", without)).split())


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_for_those_who_are_logged_in_and_may_read(get: Get, page: str) -> None:
    assert get(page).status_code == 200
    nobody, stranger = get(page, role=None), get(page, role="")
    assert nobody.status_code == 401
    assert "You are not logged in" in nobody.text
    assert stranger.status_code == 403
    assert "You may not see this" in stranger.text
    assert get(page, role=None, accept="application/json").json() == {"detail": "Not authenticated"}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_no_markup_of_others_and_no_value_of_the_environment(get: Get, page: str) -> None:
    answer = get(page)
    assert "<script>alert" not in answer.text
    assert "verysecretword" not in answer.text
    assert answer.headers["content-security-policy"].startswith(
        "default-src 'none'; style-src 'self'; script-src 'self'"
    )
    assert not re.search(r"\sstyle=|\son[a-z]+=|<script>(?!\s*</script>)", answer.text)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_nothing_can_be_changed(served: Any, get: Get, page: str, method: str) -> None:
    get("")  # logs in
    assert getattr(served, method)(f"/podenv/{page}").status_code == 405


def test_the_list_has_what_the_catalogue_and_the_dags_have(get: Get) -> None:
    shown = text(get(""))
    assert "3 of 3 environments." in shown
    assert f"reporting {HOSTILE} 3.13 iniconfig 2.0.0" in shown
    assert re.search(r"reporting .* 2 3 1 .* unused", shown)  # tasks, runs, failures
    assert "elsewhere not in this machine's envs/" in shown


def test_the_list_is_filtered_sorted_and_paged_by_its_address(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "1 of 3 environments with “iniconfig”." in text(get("?q=iniconfig"))
    assert "0 of 3 environments" in text(get("?q=nothing+such"))
    names = re.findall(r"/env/([a-z]+)\"", get("?sort=failed").text)
    assert names == ["reporting", "elsewhere", "unused"]
    assert re.findall(r"/env/([a-z]+)\"", get("?sort=1;drop").text) == ["elsewhere", "reporting", "unused"]
    monkeypatch.setattr("podenv.airflow.ui.pages.PAGE", 2)
    second = get("?page=2&q=")
    assert re.findall(r"/env/([a-z]+)\"", second.text) == ["unused"]
    assert "Page 2 of 2" in text(second)
    assert "Page 2 of 2" in text(get("?page=99"))


def test_an_environment_has_its_lock_its_tasks_and_its_runs(get: Get) -> None:
    shown = text(get("env/reporting"))
    for words in (
        "Python 3.13", "Namespace podenv-reporting", "report total memory 512Mi", "each (mapped) the environment's",
        "384 MiB of 512 MiB 75 %", "0.5 of 1 50 %", f"FunctionRaised: It raised {HOSTILE}", "iniconfig 2.0.0 yes",
        "podenv status reporting", "env TOKEN", "nodeSelector.disk ssd",
    ):  # fmt: skip
        assert words in shown
    assert "0 of 1." in text(get("env/reporting?q=zzz"))


def test_an_environment_shows_for_each_task_what_its_runs_used_of_their_limits(get: Get) -> None:
    shown = get("env/reporting").text
    one, other = (
        "Memory of the last 1 runs, as a share of the limit; 0 at the limit",
        "CPU of the last 1 runs, as a share of the limit; 0 at the limit",
    )
    assert (shown.count(one), shown.count(other)) == (2, 2)  # of `each` and `total`
    assert "<title>manual__1+00:00: 384 MiB of 512 MiB</title>" in shown
    assert '<rect class="used" x="0" y="5" width="6" height="15"/>' in shown  # three quarters of 20


def test_an_environment_without_files_here_shows_what_runs_kept_and_an_unknown_one_is_a_page(get: Get) -> None:
    assert "This machine has no files of this environment" in text(get("env/elsewhere"))
    answer = get("env/nowhere")
    assert (answer.status_code, "There is no environment" in answer.text) == (404, True)
    assert "No task of a DAG that you may see uses it." in text(get("env/unused"))


def test_a_dag_shows_each_task_in_an_environment(get: Get) -> None:
    shown = text(get("dag/report"))
    assert re.search(r"away elsewhere – .* each reporting 3\.13 .* total reporting 3\.13 memory 512Mi", shown)
    assert "plain" not in shown


def test_a_task_without_an_environment_is_told_so(get: Get) -> None:
    words = "This task uses no environment: it runs where Airflow does."
    assert words in text(get("task/report/plain"))
    assert words in text(get("run/report/manual__1+00:00/plain/-1"))
    assert words in text(get("task/report/nosuch"))


def test_a_run_shows_what_it_ran_in_what_it_used_and_why_it_failed(get: Get) -> None:
    shown = text(get(RUN))
    for words in (
        f"FunctionRaised: It raised {HOSTILE}", "failed , try 2", "Environment reporting", "Python 3.13.1",
        f"Lock {LOCK[:16]} the lock of this machine is another now", "Ran on a pod", "Memory 384 MiB of 512 MiB",
        "Function took 10.0 s", "Launched again 1 × Evicted", "podenv sizes report",
        "Pod podenv-reporting/total-x1 on node n1",
        "Travelled With total travel 2 statements of report.py.", "a node took the pod 2026-01-01 00:00:02 UTC",
    ):  # fmt: skip
        assert words in shown
    assert "What it used is kept once it has ended." in text(get("run/report/manual__1+00:00/each/1"))
    assert "384 MiB of 512 MiB" in text(get("run/report/manual__1+00:00/each/0"))
    assert "This run is not known any more." in text(get("run/report/gone/total/-1"))


def test_only_dags_that_the_user_may_read_are_shown(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    manager = type(get_auth_manager())
    monkeypatch.setattr(manager, "get_authorized_dag_ids", lambda self, **_: set())
    monkeypatch.setattr(manager, "is_authorized_dag", lambda self, **_: False)
    assert "2 of 2 environments." in text(get(""))  # of the catalogue, whose tasks are not shown
    assert "total" not in text(get("env/reporting"))
    assert get("env/elsewhere").status_code == 404
    assert [get(page).status_code for page in ("dag/report", "task/report/total", RUN)] == [403, 403, 403]


def test_without_a_cluster_the_pages_say_why_releases_are_not_known(get: Get) -> None:
    assert get("releases?name=reporting&name=elsewhere").json().keys() == {"reporting"}
    known = get("releases?name=reporting").json()["reporting"]
    assert (known["health"], known["revision"], known["image"]) == ("not known", "", "")
    why = "Connection 'kubernetes_default': it cannot be used ("
    assert known["why"].startswith(why)
    assert f"The releases are not known here: {why}" in text(get("releases/reporting"))
    assert get("releases/elsewhere").status_code == 404


def test_each_cluster_is_asked_and_one_that_does_not_answer_costs_only_its_environments(
    get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def late(asked: Asked) -> Answer:
        over.wait(30)
        return Answer(500)

    with serving(no_release) as (here, _), serving(late) as (slow, _):
        servers = {"k8s_here": here, "k8s_slow": slow, "k8s_away": "127.0.0.1:1"}
        for name, server in servers.items():
            connection = {"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(kubeconfig(server))}}
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
        for name in (*servers, "k8s_none"):
            folder = tmp_path / name.replace("_", "-")
            folder.mkdir()
            (folder / "values.yaml").write_text(f'python: "3.11"\ncluster: {{connection: {name}}}\n')
        monkeypatch.setenv("PODENV_CATALOGUE", str(tmp_path))
        monkeypatch.setattr("podenv.airflow.ui.releases.WAIT_SECONDS", 3.0)
        found = get("releases?" + "&".join(f"name=k8s-{one}" for one in ("here", "slow", "away", "none"))).json()
        one = text(get("releases/k8s-here"))
        over.set()
    assert "It is not deployed." in one
    assert {name: state["health"] for name, state in found.items()} == {
        "k8s-here": "not deployed", "k8s-slow": "not known", "k8s-away": "not known", "k8s-none": "not known",
    }  # fmt: skip
    assert found["k8s-slow"]["why"] == (
        "Connection 'k8s_slow': its cluster has not answered within 3 s; reload the page to ask again."
    )
    assert found["k8s-away"]["why"].startswith(
        "Connection 'k8s_away': The API server http://127.0.0.1:1 does not answer ("
    )
    assert found["k8s-none"]["why"] == (
        "Connection 'k8s_none': it cannot be used (The conn_id `k8s_none` isn't defined). Add it to Airflow, with "
        "conn_type kubernetes, or correct cluster.connection in the values."
    )
    assert "Cluster Connection k8s_here" in text(get("env/k8s-here"))


def no_release(asked: Asked) -> Answer:
    """A cluster without a release."""
    path = asked.path.partition("?")[0]
    if path == "/api/v1":
        kinds = [{"name": f"{one.lower()}s", "kind": one, "namespaced": True} for one in ("Pod", "Secret")]
        return Answer(200, {}, json.dumps({"resources": kinds}).encode())
    return Answer(200, {}, b'{"items": []}') if path.endswith(("/pods", "/secrets")) else Answer(404)


def kubeconfig(server: str) -> dict[str, Any]:
    """A kubeconfig that leads to ``server``."""
    return {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://{server}"}}],
        "users": [{"name": "u", "user": {}}],
    }


def test_an_installation_without_environments_says_how_to_begin(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    monkeypatch.setattr(type(get_auth_manager()), "get_authorized_dag_ids", lambda self, **_: set())
    monkeypatch.setattr("podenv.airflow.ui.known.catalogue", lambda: None)
    assert "podenv init makes one" in text(get(""))
