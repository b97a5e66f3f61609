"""`podenv plan`, with real uv and an index on disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.packageindex import Index, served
from tests.plan.conftest import Project

_LACKS = "the package index cannot be reached, and uv's cache does not have all that it needs; connect, and try again."


def groups(plan: dict[str, Any]) -> list[list[str]]:
    return [one["environments"] for one in plan["proposals"]]


def test_environments_that_fit_into_one_lock_are_proposed_as_one_with_what_changes(
    project: Project, letters: Index
) -> None:
    project.environment("one", "gamma\n")
    project.environment("two", "alpha\nbeta\n", values="systemPackages: [libgomp1]\n")
    project.environment("three", "delta\n")
    project.podenv("lock")
    project.dag("pipeline", one="gamma", two="beta", three="delta")

    found = project.json("plan")
    assert groups(found) == [["one", "two"], ["three"]]
    assert (found["environments"], found["at_least"], found["proven"]) == (2, 2, True)
    shared = found["proposals"][0]
    assert shared["requirements"] == ["alpha", "beta", "gamma"]
    assert shared["packages"] == {"alpha": "1.0", "beta": "2.0", "gamma": "1.0"}
    assert shared["changes"] == [{"environment": "two", "package": "alpha", "before": "2.0", "after": "1.0"}]
    assert [task["task"] for task in shared["tasks"]] == ["use_one", "use_two"]
    assert found["clashes"][0]["text"] == "gamma (one) against delta (three)"
    assert found["clashes"][0]["words"].endswith(
        "And because you require delta and gamma, we can conclude that your requirements are unsatisfiable."
    )
    assert found["notes"] == found["not_judged"] == []

    said, _ = project.podenv("plan")
    assert said.startswith(
        "3 environments could be 2: no fewer do.\n\none and two can share one lock (Python 3.12, 3 p"
    )
    assert "  two would change: alpha 2.0 -> 1.0\n" in said
    assert "  an upgrade of it touches 2 tasks: pipeline.use_one, pipeline.use_two\n" in said
    assert "three stays by itself (Python 3.12, 3 packages)\n" in said


def test_three_of_which_each_two_fit_and_not_all_need_two_environments_and_that_is_proven(
    project: Project, index: Index
) -> None:
    for version, needs in (("1", "base==1"), ("2", "base==2")):
        index.add("base", version)
        index.add("left", version, requires=[needs])
        index.add("right", version, requires=[needs])
    index.add("odd", "1", requires=["left==1 ; python_version > '3'", "right"])
    project.environment("a", "odd\n")
    project.environment("b", "left\n-c limits.txt\n").joinpath("limits.txt").write_text("right==2\n")
    project.environment("c", "base\n")
    found = project.json("plan")
    assert (found["environments"], found["proven"]) == (2, True)
    assert found["clashes"][0]["text"] == "odd (a) against constraint right==2 (b)"


def test_the_python_and_what_else_decides_the_image_keep_environments_apart(project: Project, letters: Index) -> None:
    project.environment("old", "alpha\n", python="3.11")
    project.environment("new", "alpha\n")
    project.environment("own", "alpha\n", values="image: {containerfile: Containerfile}\n")
    found = project.json("plan")
    assert groups(found) == [["new"], ["old"], ["own"]]
    assert [one["text"] for one in found["clashes"]] == [
        "Python 3.11 (old) against Python 3.12 (new, own)",
        "image built by podenv (new, old) against image built by the Containerfile of own (own)",
    ]
    assert found["apart_by_python_alone"] == [["new", "old"]]


def test_environments_on_several_pythons_are_told_that_their_versions_clash_too(
    project: Project, letters: Index
) -> None:
    project.environment("old", "alpha<2\n", python="3.11")
    project.environment("new", "alpha>=2\n")
    said, _ = project.podenv("plan", "old", "new")
    assert "  Python 3.11 (old) against Python 3.12 (new)\n  alpha>=2 (new) against alpha<2 (old)\n" in said


def test_an_environment_that_no_lock_satisfies_is_named_and_the_others_are_planned(
    project: Project, letters: Index
) -> None:
    project.environment("broken", "gamma\nalpha>=2\n")
    project.environment("missing", None)
    project.environment("one", "alpha\n")
    project.environment("two", "beta\n")
    found = project.json("plan", exit_code=1)
    assert groups(found) == [["one", "two"]]
    why = {one["environment"]: one["why"] for one in found["not_judged"]}
    assert why["broken"].startswith("no set of versions satisfies it. uv says: Because ")
    assert why["missing"].startswith(f"{project.root}/envs/missing/requirements.in is missing; ")
    _, errors = project.podenv("plan", exit_code=1)
    assert "error: broken is not judged: no set of versions satisfies it. uv says: " in errors


def test_a_second_plan_of_the_day_asks_uv_nothing_unless_it_is_to_forget(project: Project, letters: Index) -> None:
    for name, asked in (("one", "gamma\n"), ("two", "delta\n"), ("three", "alpha\n")):
        project.environment(name, asked)
    first, second = project.json("plan"), project.json("plan")
    assert first["asked"] > 3
    assert second["asked"] == 0
    assert {**first, "asked": 0} == second
    letters.add("gamma", "2.0")
    assert project.json("plan") == second
    assert groups(project.json("plan", "--forget")) == [["one", "three", "two"]]


def test_a_lock_that_is_the_same_for_both_parts_needs_no_question(project: Project, letters: Index) -> None:
    project.environment("one", "alpha\n")
    project.environment("two", "beta\n")
    found = project.json("plan")
    assert groups(found) == [["one", "two"]]
    assert found["asked"] == 3  # each alone, and once what both were concluded to need


def test_without_a_network_and_with_an_empty_cache_it_says_what_could_not_be_judged(
    project: Project, letters: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    project.environment("one", "alpha\n")
    project.environment("two", "beta\n")
    found = project.json("plan", exit_code=1)
    assert found["proposals"] == []
    assert [one["environment"] for one in found["not_judged"]] == ["one", "two"]
    assert {one["why"] for one in found["not_judged"]} == {_LACKS}
    assert found["notes"] == [
        f"There is no folder {project.root}/dags with DAG files, so no task is named; name it with --dags.",
        "The package index cannot be reached: the answers are those of uv's cache, and newer releases are not known.",
    ]
    said, _ = project.podenv("plan", exit_code=1)
    assert said == "Nothing could be judged.\n"


def test_a_refusal_for_want_of_a_network_is_no_answer(
    project: Project, letters: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(letters) as url:
        monkeypatch.setenv("UV_DEFAULT_INDEX", url)
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        project.environment("one", "beta\n")
        project.environment("two", "alpha>=2\n")
        project.json("plan")  # gamma is not asked for, so uv's cache has nothing of it
        project.environment("two", "gamma\n")
        assert groups(project.json("plan")) == [["one", "two"]]
        project.environment("three", "delta\n")
    # With the server gone, uv's cache knows one and two, and nothing of delta.
    found = project.json("plan", "--forget", exit_code=1)
    assert groups(found) == [["one", "two"]]
    assert [one["environment"] for one in found["not_judged"]] == ["three"]
    assert found["not_judged"][0]["why"] == _LACKS
    assert found["clashes"] == []


def test_from_imports_groups_tasks_by_what_their_code_imports(project: Project, letters: Index) -> None:
    project.environment("everything", "gamma\nbeta\n")
    project.environment("newer", "delta\nbeta\n")
    project.podenv("lock")
    project.dag("pipeline", everything="beta", newer="beta")
    project.dag("other", newer="delta")
    assert (project.json("plan")["environments"]) == 2

    found = project.json("plan", "--from-imports")
    assert groups(found) == [["everything", "newer"]]
    assert found["proposals"][0]["requirements"] == ["beta", "delta"]
    assert found["proven"] is True


def test_what_has_no_module_and_what_a_command_needs_stays_in_a_plan_from_imports(
    project: Project, letters: Index
) -> None:
    project.environment("etl", "alpha\nbeta\n")
    project.podenv("lock")
    (project.root / "dags").mkdir()
    (project.root / "dags" / "commands.py").write_text(
        "from podenv import EnvPodOperator\nEnvPodOperator(task_id='run', env='etl', cmds=['python', '-m', 'alpha'])\n"
    )
    assert project.json("plan", "--from-imports")["proposals"][0]["requirements"] == ["alpha", "beta"]


def test_write_makes_a_catalogue_that_can_be_locked_and_touches_nothing_else(project: Project, letters: Index) -> None:
    project.environment("one", "gamma\n", values="description: first\nresources: {limits: {memory: 1Gi}}\n")
    folder = project.environment(
        "two",
        "alpha\n-c limits.txt\n",
        values="systemPackages: [libgomp1]\nresources: {limits: {memory: 2Gi}}\nenv: {MODE: two}\n",
    )
    (folder / "limits.txt").write_text("beta<2\n")
    (project.root / "envs" / "defaults.yaml").write_text("podLabels: {team: data}\n")
    before = sorted(file.read_text() for file in (project.root / "envs").rglob("*") if file.is_file())
    said, _ = project.podenv("plan", "--write", "proposed")
    assert said.endswith("\nWritten: proposed/one-two. Lock them with:\n  podenv --catalogue proposed lock\n")
    made = project.root / "proposed"
    assert (made / "one-two" / "values.yaml").read_text() == (
        "# Proposed by `podenv plan` for one, two.\n"
        "# They do not have these values alike, so they are left out here: env.\n"
        'python: "3.12"\nsystemPackages:\n- libgomp1\nresources:\n  limits:\n    memory: 2Gi\n'
    )
    assert (made / "one-two" / "requirements.in").read_text() == "alpha\ngamma\n-c constraints.txt\n"
    assert (made / "one-two" / "constraints.txt").read_text() == "beta<2\n"
    project.podenv("--catalogue", "proposed", "lock")
    assert before == sorted(file.read_text() for file in (project.root / "envs").rglob("*") if file.is_file())
    assert sorted(one.name for one in project.root.iterdir() if one.name.startswith(".")) == []


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("envs/proposed", "is in the catalogue {root}/envs, which a plan does not change; name another folder."),
        ("envs", "is in the catalogue {root}/envs, which a plan does not change; name another folder."),
        ("full", "is not empty, and nothing in it is overwritten; remove it, or name a new folder."),
        ("file", "is not a folder; name another one."),
    ],
)
def test_write_refuses_a_folder_that_holds_something_before_uv_is_asked(
    project: Project, letters: Index, folder: str, why: str
) -> None:
    project.environment("one", "alpha\n")
    (project.root / "full").mkdir()
    (project.root / "full" / "mine.txt").write_text("mine")
    (project.root / "file").write_text("mine")
    shutil.rmtree(letters.root)
    _, errors = project.podenv("plan", "--write", folder, exit_code=1)
    assert errors == f"error: {project.root / folder} {why.format(root=project.root)}\n"


def test_of_many_clashes_some_are_explained_and_the_rest_is_counted(project: Project, index: Index) -> None:
    for number in range(8):
        index.add("alpha", str(number))
        project.environment(f"e{number}", f"alpha=={number}\n")
    found = project.json("plan")
    assert (found["environments"], found["proven"], len(found["clashes"])) == (8, True, 20)
    assert found["notes"][-1] == (
        "8 more clashes are not explained; name two environments (`podenv plan ONE OTHER`) to see what keeps them "
        "apart."
    )


def test_the_sizes_of_wheels_tell_what_is_saved_where_the_index_says_them(project: Project, letters: Index) -> None:
    project.environment("one", "alpha\n")
    project.environment("two", "beta\n")
    project.podenv("lock")
    found = project.json("plan")["proposals"][0]
    assert (found["saved_bytes"], found["saved_basis"]) == (
        None, "the package index does not say how large its files are",
    )  # fmt: skip
    assert "  image size saved: not known: the package index does not say" in project.podenv("plan")[0]


def test_an_upgrade_says_which_locks_could_have_it_and_which_it_breaks(project: Project, letters: Index) -> None:
    project.environment("held", "gamma\n")
    project.environment("free", "alpha<2\n")
    project.podenv("lock")
    project.environment("free", "alpha\n")
    project.environment("newest", "delta\n")
    project.environment("without", "beta\n")
    project.podenv("lock")
    project.dag("pipeline", held="gamma", newest="alpha", without="beta")

    found = project.json("plan", "--upgrade", "alpha==2.0", exit_code=1)
    assert {one["environment"]: one["state"] for one in found["reached"]} == {
        "free": "possible", "held": "breaks", "newest": "has it",
    }  # fmt: skip
    reached = {one["environment"]: one for one in found["reached"]}
    assert reached["free"]["changes"] == [{"environment": "free", "package": "alpha", "before": "1.0", "after": "2.0"}]
    assert reached["held"]["clash"]["text"] == "gamma (held) against alpha==2.0 (the upgrade)"
    assert reached["newest"]["importing"] == ["pipeline.use_newest"]
    assert (reached["held"]["importing"], [one["task"] for one in reached["held"]["tasks"]]) == ([], ["use_held"])
    assert found["untouched"] == ["without"]

    said, _ = project.podenv("plan", "--upgrade", "alpha==2.0", exit_code=1)
    assert "held: breaks its lock (it holds 1.0)\n  gamma (held) against alpha==2.0 (the upgrade)\n" in said
    assert said.endswith("Not touched: without.\n")


def test_a_version_that_is_not_there_is_told_from_one_that_clashes(project: Project, letters: Index) -> None:
    project.environment("etl", "alpha\n")
    project.podenv("lock")
    found = project.json("plan", "--upgrade", "alpha==9", exit_code=1)["reached"][0]
    assert (found["state"], found["clash"]["text"]) == (
        "not available", "alpha==9 (the upgrade) cannot be had on Python 3.12",
    )  # fmt: skip


def test_an_upgrade_judges_no_environment_without_a_lock_and_reaches_none_that_lacks_the_package(
    project: Project, letters: Index
) -> None:
    project.environment("etl", "alpha\n")
    _, errors = project.podenv("plan", "--upgrade", "alpha==2.0", exit_code=1)
    assert (
        f"error: etl is not judged: {project.root}/envs/etl/requirements.txt is missing; run `podenv lock etl`."
        in errors
    )
    project.podenv("lock")
    said, _ = project.podenv("plan", "--upgrade", "zeta==1")
    assert said == "zeta==1 reaches no environment: no lock holds zeta.\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--upgrade", "alpha"], "'alpha' names no version; write it like alpha==2.4.0."),
        (["--upgrade", "=="], "'==' is not a package with a version; write it like numpy==2.4.0."),
        (["--upgrade", "alpha==1", "--from-imports"], "give it without --from-imports and --write."),
    ],
)
def test_what_is_not_a_version_is_refused(project: Project, words: list[str], why: str) -> None:
    project.environment("etl", "alpha\n")
    assert why in project.podenv("plan", *words, exit_code=2)[1]


def test_a_name_that_is_not_an_environment_is_refused(project: Project, tmp_path: Path) -> None:
    project.environment("etl", "alpha\n")
    _, errors = project.podenv("plan", "etll", exit_code=1)
    assert "There is no environment 'etll'" in errors
    assert "Did you mean 'etl'?" in errors


def test_an_environment_that_is_built_elsewhere_and_asks_for_nothing_is_a_note_and_no_failure(
    project: Project, letters: Index
) -> None:
    project.environment("etl", "alpha\n")
    project.environment("foreign", None, values="image: {repository: r.example/x, tag: v1, external: true}\n")
    project.podenv("lock", "etl")
    why = "its image is built elsewhere, and nothing here says what is in it."
    for words in (["plan"], ["plan", "--upgrade", "alpha==2.0"]):
        found = project.json(*words)
        assert found["not_judged"] == [{"environment": "foreign", "why": why, "failed": False}]
        assert f"note: foreign is not judged: {why}\n" in project.podenv(*words)[1]


def test_an_upgrade_says_that_a_lock_is_stale(project: Project, letters: Index) -> None:
    project.environment("etl", "alpha<2\n")
    project.podenv("lock")
    project.environment("etl", "alpha\n")
    found = project.json("plan", "--upgrade", "alpha==2.0")
    assert [one["state"] for one in found["reached"]] == ["possible"]
    assert any("is older than requirements.in" in one for one in found["notes"])
