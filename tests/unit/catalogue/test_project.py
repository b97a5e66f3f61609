"""The files that `podenv init` makes, and what it does with those that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from podenv.catalogue import project
from podenv.catalogue.environment import Catalogue
from podenv.cli.app import COMMANDS, app
from podenv.errors import ProjectFileRefused

MADE = [
    "envs/defaults.yaml",
    "envs/values.schema.json",
    "envs/example/values.yaml",
    "envs/example/requirements.in",
    "dags/podenv_example.py",
    ".gitignore",
    ".pre-commit-config.yaml",
    ".github/workflows/podenv.yml",
]
REMOTE = "  - repo: https://x\n    rev: v1\n    hooks:\n      - id: y  # why\n"
LINES = "  - repo: local\n    hooks:\n      - id: y\n        args:\n          - |\n            a\n            b\n"
HOOK = """\
  - repo: local
    hooks:
      - id: podenv-lock
        name: podenv lock --check
        entry: podenv lock --check
        language: system
        pass_filenames: false
        always_run: true  # it takes no network, and a lock may come from a file outside of envs/
"""


@pytest.fixture(autouse=True)
def _no_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PODENV_CATALOGUE", raising=False)


def init(root: Path, *, ci: project.Ci | None = None) -> dict[str, project.ProjectFile]:
    files = project.plan(root, python="3.12", version="1.2.3", ci=ci)
    project.write(files)
    return {file.path.relative_to(root).as_posix(): file for file in files}


def state(root: Path, name: str) -> str:
    return init(root)[name].state


def test_an_empty_folder_gets_all_files_and_a_second_time_nothing(tmp_path: Path) -> None:
    assert {name: file.state for name, file in init(tmp_path).items()} == dict.fromkeys(MADE, "made")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert sorted(path.relative_to(tmp_path).as_posix() for path in before) == sorted(MADE)
    assert {file.state for file in init(tmp_path).values()} == {"unchanged"}
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_example_is_an_environment_that_an_editor_can_check(tmp_path: Path) -> None:
    init(tmp_path)
    environment = Catalogue(tmp_path / "envs")["example"]
    assert (environment.python, environment.spec.resources.limits["memory"]) == ("3.12", "1Gi")
    first = (environment.folder / "values.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=../values.schema.json"
    compile((tmp_path / "dags" / "podenv_example.py").read_text(), "podenv_example.py", "exec")


def test_a_project_that_has_environments_gets_no_example(tmp_path: Path) -> None:
    (tmp_path / "envs" / "own").mkdir(parents=True)
    (tmp_path / "envs" / "own" / "values.yaml").write_text('python: "3.11"\n')
    assert [name for name in init(tmp_path) if "example" in name] == []
    assert not (tmp_path / "dags").exists()


def test_a_folder_of_a_project_that_has_environments_gets_none_of_its_own(tmp_path: Path) -> None:
    init(tmp_path)
    with pytest.raises(ProjectFileRefused, match=re.escape(f"run `podenv init {tmp_path}`.")):
        project.plan(tmp_path / "dags", python="3.12", version="1")
    own = tmp_path / "own"
    (own / ".git").mkdir(parents=True)
    assert init(own)["envs/defaults.yaml"].state == "made"


def test_what_exists_is_not_overwritten(tmp_path: Path) -> None:
    init(tmp_path)
    for name in ("envs/defaults.yaml", "dags/podenv_example.py", ".github/workflows/podenv.yml"):
        (tmp_path / name).write_text("# mine\n")
        assert state(tmp_path, name) == "unchanged" if "dags" not in name else "made"
        assert (tmp_path / name).read_text() == "# mine\n"


def test_a_schema_of_another_podenv_is_left_and_named(tmp_path: Path) -> None:
    init(tmp_path)
    schema = tmp_path / "envs" / "values.schema.json"
    schema.write_text("{}\n")
    file = init(tmp_path)["envs/values.schema.json"]
    assert (file.state, file.remedy) == ("left", f"it is of another podenv; renew it: podenv schema > {schema}")
    assert schema.read_text() == "{}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "__pycache__/\n.podenv-lock-*/\n.new-*/\n"),
        ("*.log", "*.log\n__pycache__/\n.podenv-lock-*/\n.new-*/\n"),
        ("__pycache__\r\n*.log\r\n", "__pycache__\r\n*.log\r\n.podenv-lock-*/\r\n.new-*/\r\n"),
        ("/.new-*/\n__pycache__/\n.podenv-lock-*/\n", "/.new-*/\n__pycache__/\n.podenv-lock-*/\n"),
    ],
)
def test_gitignore_gets_the_lines_that_it_lacks(tmp_path: Path, before: str, after: str) -> None:
    file = tmp_path / ".gitignore"
    file.write_bytes(before.encode())
    assert state(tmp_path, ".gitignore") == ("added to" if before != after else "unchanged")
    assert file.read_bytes().decode() == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            f"# ours\nrepos:\n{REMOTE}\n\nci:\n  skip: [z]\n",
            f"# ours\nrepos:\n{REMOTE}{HOOK}\n\nci:\n  skip: [z]\n",
        ),
        (f"repos:\n{LINES}# end\n", f"repos:\n{LINES}{HOOK}# end\n"),
        ("repos:\n  - {repo: local, hooks: [{id: y}]}", f"repos:\n  - {{repo: local, hooks: [{{id: y}}]}}\n{HOOK}"),
    ],
)
def test_a_pre_commit_configuration_gets_the_hook_behind_its_own(tmp_path: Path, before: str, after: str) -> None:
    file = tmp_path / ".pre-commit-config.yaml"
    file.write_text(before)
    assert state(tmp_path, file.name) == "added to"
    assert file.read_text() == after
    assert state(tmp_path, file.name) == "unchanged"


def test_a_pre_commit_configuration_without_indentation_keeps_its_form(tmp_path: Path) -> None:
    file = tmp_path / ".pre-commit-config.yaml"
    file.write_text("repos:\n- repo: local\n  hooks:\n  - id: y\n")
    init(tmp_path)
    assert file.read_text().startswith(
        "repos:\n- repo: local\n  hooks:\n  - id: y\n- repo: local\n  hooks:\n    - id: p"
    )


@pytest.mark.parametrize("before", ["repos: []\n", "ci: {}\n", "", "repos: [{repo: local, hooks: []}]\n"])
def test_a_pre_commit_configuration_that_cannot_be_added_to_is_left_with_what_to_add(
    tmp_path: Path, before: str
) -> None:
    file = tmp_path / ".pre-commit-config.yaml"
    file.write_text(before)
    found = init(tmp_path)[file.name]
    assert found.state == "left"
    assert found.remedy.startswith("add this to its `repos` by hand:\n- repo: local\n")
    assert file.read_text() == before


def test_a_pre_commit_configuration_that_is_not_yaml_stops_before_anything_is_made(tmp_path: Path) -> None:
    file = tmp_path / ".pre-commit-config.yaml"
    file.write_text("repos: [\n")
    with pytest.raises(ProjectFileRefused, match=r"\.pre-commit-config\.yaml is not YAML"):
        init(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize(("name", "kind"), [("envs", "folder"), (".gitignore", "file"), (".github", "folder")])
def test_something_else_in_the_place_of_a_file_stops_before_anything_is_made(
    tmp_path: Path, name: str, kind: str
) -> None:
    place = tmp_path / name
    place.mkdir() if kind == "file" else place.write_text("x")
    with pytest.raises(ProjectFileRefused, match=rf"{re.escape(str(place))} is not a {kind}"):
        project.plan(tmp_path, python="3.12", version="1", ci="github")


def test_gitlab_gets_jobs_and_an_include(tmp_path: Path) -> None:
    files = init(tmp_path, ci="gitlab")
    assert (files[".gitlab-ci.yml"].state, files[".gitlab/podenv.yml"].state) == ("made", "made")
    assert yaml.safe_load((tmp_path / ".gitlab-ci.yml").read_text()) == {"include": [{"local": ".gitlab/podenv.yml"}]}


def test_an_own_gitlab_file_is_left_with_what_to_add(tmp_path: Path) -> None:
    (tmp_path / ".gitlab-ci.yml").write_text("test: {script: [pytest]}\n")
    file = init(tmp_path)[".gitlab-ci.yml"]
    assert (file.state, file.remedy) == (
        "left",
        "add this to it by hand:\ninclude:\n  - local: .gitlab/podenv.yml\n",
    )
    assert (tmp_path / ".gitlab/podenv.yml").is_file()


def test_the_remote_decides_whose_recipe_it_is(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text('[remote "origin"]\n\turl = git@gitlab.acme.io:team/dags.git\n')
    assert state(tmp_path, ".gitlab/podenv.yml") == "made"


@pytest.mark.parametrize("name", ["github.yml", "gitlab.yml"])
def test_recipes_are_yaml_and_name_only_commands_and_options_that_exist(name: str) -> None:
    words = {"@PYTHON@": "3.12", "@VERSION@": "1.2.3"}
    text = project._template(name, words)
    assert "@" not in re.sub(r"actions/\S+", "", text)
    assert yaml.safe_load(text)
    lines = re.findall(r"(?:run: |- |entry: )(podenv .*)", text + HOOK)
    assert "podenv lock --check" in lines
    group: Any = typer.main.get_command(app)
    for line in lines:
        _, command, *words = line.split()
        options = [word for word in words if word.startswith("-")]
        assert command in COMMANDS, line
        found = group.get_command(None, command)
        known = {option for parameter in found.params for option in parameter.opts}
        assert set(options) <= known, line
