"""What README and docs/ print is valid: links, commands, options, DAG files, values files."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from tests.docs.pages import PAGES, ROOT, Snippet, asked, snippets, without_code

from podenv import image
from podenv.catalogue.environment import Catalogue
from podenv.cli.app import app

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_ENVIRONMENT = re.compile(r'env(?:_\w+)?\("([a-z0-9-]+)"|env="([a-z0-9-]+)"')


def _anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_or_a_heading_that_exists(page: Path) -> None:
    broken = []
    for target in _LINK.findall(without_code(page)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE) if file.suffix == ".md" else []
        if not file.exists() or (anchor and anchor not in map(_anchor, headings)):
            broken.append(target)
    assert broken == []


def _command_lines() -> Iterator[tuple[str, list[str]]]:
    for page in PAGES:
        for code in _CODE.findall(without_code(page)):
            if code.startswith("podenv "):
                yield f"{page.name}: {code}", _words(code)
    for command in asked():
        for part in re.split(r"\||&&", command.text):
            words = _words(part)
            if words[:1] == ["podenv"]:
                yield f"{command.page}: {command.text}", words


def _words(line: str) -> list[str]:
    return shlex.split(line.replace("[", "").replace("]", ""), comments=True)


def test_every_podenv_command_and_option_in_the_pages_exists() -> None:
    group: Any = typer.main.get_command(app)
    context = typer.Context(group, info_name="podenv")
    wrong = []
    for where, words in _command_lines():
        name = words[1]
        command = group.get_command(context, name) if not name.startswith("-") else group
        inner = getattr(command, "commands", {}) if command is not group else {}
        if inner and len(words) > 2:
            command = inner.get(words[2])
        options = {option for one in command.params for option in one.opts} if command is not None else set()
        unknown = [
            word for word in words[2:] if word.startswith("--") and word.split("=")[0] not in options | {"--help"}
        ]
        if command is None or unknown:
            wrong.append(where)
    assert wrong == []


def test_every_script_and_option_in_the_pages_exists() -> None:
    options: dict[tuple[str, ...], set[str]] = {}
    for line in {found for one in asked() for found in re.findall(r"scripts/[^\")]+", one.text)}:
        words = shlex.split(line)
        begin = tuple(takewhile(lambda word: not word.startswith("-"), words))
        options.setdefault(begin, set()).update(word for word in words if word.startswith("--"))
    assert {begin[0] for begin in options} >= {"scripts/quickstart", "scripts/test", "scripts/dev-cluster"}
    assert [begin for begin in options if not (ROOT / begin[0]).is_file()] == []
    for begin, named in options.items():
        if named:
            told = subprocess.run([*begin, "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
            assert [option for option in named if option not in told] == []


@pytest.mark.parametrize("snippet", snippets("python"), ids=str)
def test_every_python_snippet_is_valid_python(snippet: Snippet) -> None:
    compile(snippet.text, str(snippet), "exec")


def _catalogue(folder: Path, text: str) -> None:
    for found in _ENVIRONMENT.findall(text):
        environment = folder / "envs" / (found[0] or found[1])
        environment.mkdir(parents=True, exist_ok=True)
        (environment / "values.yaml").write_text('python: "3.13"\n')


@pytest.mark.parametrize("snippet", snippets("python", "dag"), ids=str)
def test_every_dag_snippet_parses_as_a_dag_file(
    snippet: Snippet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from podenv.dagrun import folder as dagfolder

    monkeypatch.delenv("PODENV_CATALOGUE", raising=False)
    _catalogue(tmp_path, snippet.text)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "snippet.py").write_text(snippet.text)
    (name,) = re.findall(r"^def (\w+)\(\):$", snippet.text, re.MULTILINE)
    assert len(dagfolder.read(tmp_path / "dags").dag(name).tasks) > 0


@pytest.mark.parametrize("snippet", snippets("yaml"), ids=str)
def test_every_yaml_snippet_is_valid(snippet: Snippet, tmp_path: Path) -> None:
    assert isinstance(yaml.safe_load(snippet.text), dict)
    if snippet.kind not in ("values", "defaults"):
        return
    environment = tmp_path / "envs" / "etl"
    environment.mkdir(parents=True)
    (environment / "values.yaml").write_text(snippet.text if snippet.kind == "values" else 'python: "3.13"\n')
    (tmp_path / "envs" / "defaults.yaml").write_text(snippet.text if snippet.kind == "defaults" else "")
    assert Catalogue(tmp_path / "envs")["etl"].python in ("3.11", "3.13")


def test_the_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 60


def test_the_map_of_the_modules_names_every_part_and_its_files() -> None:
    table = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", (ROOT / "docs" / "modules.md").read_text(), re.MULTILINE)
    parts = {folder.parent.name for folder in (ROOT / "src" / "podenv").glob("*/__init__.py")}
    assert sorted(name for name, _ in table) == sorted(parts)
    missing = [
        f"{name}/{file}"
        for name, files in table
        for file in re.findall(r"`([^`]+)`", files)
        if not (ROOT / "src" / "podenv" / name / file).exists()
    ]
    assert missing == []


def test_the_air_gapped_page_names_every_image_that_the_code_and_the_chart_pull() -> None:
    named = set(
        re.findall(r"^\| `(\S+/\S+:\S+)`", (ROOT / "docs" / "guides" / "air-gapped.md").read_text(), re.MULTILINE)
    )
    assert named == {image.BASE, image.UV}
    templates = (ROOT / "charts" / "airflow-env" / "templates").rglob("*.*")
    lines = [
        line.strip() for file in templates for line in re.findall(r"^.*\bimage: .*$", file.read_text(), re.MULTILINE)
    ]
    assert [line for line in lines if "podenv.image" not in line] == []
