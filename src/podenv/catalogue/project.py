"""The files that a project starts with. Nothing that exists is overwritten; two files get lines that they lack."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from podenv.catalogue import scaffold
from podenv.catalogue.environment import DEFAULTS, Catalogue
from podenv.catalogue.scaffold import SCHEMA, NewEnvironment
from podenv.catalogue.spec import json_schema
from podenv.errors import CatalogueNotFound, ProjectFileRefused

Ci = Literal["github", "gitlab", "none"]
State = Literal["made", "added to", "unchanged", "left"]
EXAMPLE = "example"
DAG = "podenv_example"
_GITIGNORE = ".gitignore"
_IGNORED = ("__pycache__/", ".podenv-lock-*/", ".new-*/")
_PRE_COMMIT = ".pre-commit-config.yaml"
_HOOK = """\
- repo: local
  hooks:
    - id: podenv-lock
      name: podenv lock --check
      entry: podenv lock --check
      language: system
      pass_filenames: false
      always_run: true  # it takes no network, and a lock may come from a file outside of @ENVS@/
"""
_GITHUB = ".github/workflows/podenv.yml"
_GITLAB = ".gitlab-ci.yml"
_GITLAB_JOBS = ".gitlab/podenv.yml"
_INCLUDE = f"include:\n  - local: {_GITLAB_JOBS}\n"


@dataclass(frozen=True)
class ProjectFile:
    """One file of a project: what becomes of it, its content then, and what a person must do where it is ``left``."""

    path: Path
    state: State
    content: str = ""
    remedy: str = ""


def plan(root: Path, *, python: str, version: str, ci: Ci | None = None) -> list[ProjectFile]:
    """The files that podenv needs in ``root``, with what is to be done for each. Nothing is written.

    ``ci``: whose recipe; None looks at what is in ``root``. Raises `ProjectFileRefused`.
    """
    envs = _envs(root)
    words = {"@PYTHON@": python, "@VERSION@": version, "@ENVS@": envs.relative_to(root).as_posix()}
    files = [_new(envs / DEFAULTS, _template(DEFAULTS, words)), _schema(envs)]
    if not Catalogue(envs).names():
        example = NewEnvironment(EXAMPLE, python, "To begin with; remove it when you have your own", ("humanize>=4",))
        files += [_new(envs / EXAMPLE / name, text) for name, text in example.texts(schema=True).items()]
        files.append(_new(root / "dags" / f"{DAG}.py", _template(f"{DAG}.py.txt", words)))
    files += [_gitignore(root / _GITIGNORE), _pre_commit(root / _PRE_COMMIT, _filled(_HOOK, words))]
    files += _ci(root, ci or _guessed_ci(root), words)
    return files


def write(files: list[ProjectFile]) -> None:
    """Write what was planned, each file at once. Raises `ProjectFileRefused`; the files before it stay."""
    for file in files:
        if file.state in ("made", "added to"):
            try:
                scaffold.put(file.path, file.content.encode())
            except OSError as error:
                raise ProjectFileRefused(f"{file.path} cannot be written: {error.strerror}.") from None


def _envs(root: Path) -> Path:
    named = os.environ.get("PODENV_CATALOGUE")
    envs = Path(named).expanduser().absolute() if named else root / "envs"
    if not envs.is_relative_to(root):
        raise ProjectFileRefused(f"{envs} is not in {root}; go to the project that it belongs to, and run it there.")
    if not named and not envs.exists() and not (root / ".git").exists():
        with suppress(CatalogueNotFound):
            above = Catalogue.find(root).root
            raise ProjectFileRefused(
                f"{root} is a part of the project in {above.parent}, which has {above.name}/ already; run "
                f"`podenv init {above.parent}`."
            )
    return envs


def _new(path: Path, content: str) -> ProjectFile:
    _check_place(path)
    return ProjectFile(path, "unchanged") if path.exists() else ProjectFile(path, "made", content)


def _check_place(path: Path) -> None:
    for above in path.parents:
        if above.is_dir():
            break
        if above.exists() or above.is_symlink():
            raise ProjectFileRefused(f"{above} is not a folder, and {path.name} belongs into it; move it away.")
    if path.is_dir() or (path.is_symlink() and not path.exists()):
        raise ProjectFileRefused(f"{path} is not a file; move it away.")


def _schema(envs: Path) -> ProjectFile:
    content = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    file = _new(envs / SCHEMA, content)
    if file.state == "unchanged" and _read(file.path) != content:
        return ProjectFile(file.path, "left", remedy=f"it is of another podenv; renew it: podenv schema > {file.path}")
    return file


def _gitignore(path: Path) -> ProjectFile:
    _check_place(path)
    if not path.exists():
        return ProjectFile(path, "made", "".join(f"{line}\n" for line in _IGNORED))
    text = _read(path)
    known = {line.strip().lstrip("/").rstrip("/") for line in text.splitlines()}
    missing = [line for line in _IGNORED if line.rstrip("/") not in known]
    if not missing:
        return ProjectFile(path, "unchanged")
    newline = "\r\n" if "\r\n" in text else "\n"
    begin = "" if not text or text.endswith("\n") else newline
    return ProjectFile(path, "added to", text + begin + "".join(f"{line}{newline}" for line in missing))


def _pre_commit(path: Path, hook: str) -> ProjectFile:
    _check_place(path)
    if not path.exists():
        return ProjectFile(path, "made", "repos:\n" + _indented(hook, "  "))
    text = _read(path)
    left = ProjectFile(path, "left", remedy=f"add this to its `repos` by hand:\n{hook}")
    try:
        config = yaml.safe_load(text)
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ProjectFileRefused(
            f"{path} is not YAML ({str(error).splitlines()[0]}); correct it, then try again."
        ) from None
    if any("podenv lock" in str(one.get("entry")) for one in _hooks(config)):
        return ProjectFile(path, "unchanged")
    repos = _value(node, "repos")
    if not isinstance(repos, yaml.SequenceNode) or repos.flow_style or not repos.value:
        return left
    lines = text.splitlines(keepends=True)
    newline = "\r\n" if lines[0].endswith("\r\n") else "\n"
    indent = " " * (repos.start_mark.column)
    added = _indented(hook, indent).replace("\n", newline)
    end = max(_ends(repos)) + 1
    if end == len(lines) and not lines[-1].endswith("\n"):
        lines[-1] += newline
    longer = "".join([*lines[:end], added, *lines[end:]])
    expected = {**config, "repos": [*config["repos"], *yaml.safe_load(hook)]}
    with suppress(yaml.YAMLError):
        if yaml.safe_load(longer) == expected:
            return ProjectFile(path, "added to", longer)
    return left


def _hooks(config: Any) -> Iterator[dict[str, Any]]:
    repos = config.get("repos") if isinstance(config, dict) else None
    for repo in repos if isinstance(repos, list) else ():
        hooks = repo.get("hooks") if isinstance(repo, dict) else None
        yield from (hook for hook in (hooks if isinstance(hooks, list) else ()) if isinstance(hook, dict))


def _value(node: Any, key: str) -> Any:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _ends(node: yaml.Node) -> Iterator[int]:
    """The lines on which the texts below ``node`` end."""
    if isinstance(node, yaml.ScalarNode):
        # A block of lines (| or >) ends where the next thing begins.
        yield node.end_mark.line - (node.style in ("|", ">"))
    elif isinstance(node, yaml.CollectionNode):
        if node.flow_style:
            yield node.end_mark.line
        for child in node.value:
            for part in child if isinstance(child, tuple) else (child,):
                yield from _ends(part)


def _guessed_ci(root: Path) -> Ci:
    """Whose CI the project has, by its files and its git remote."""
    if (root / ".github").is_dir():
        return "github"
    if (root / _GITLAB).exists():
        return "gitlab"
    with suppress(OSError):
        if "gitlab" in (root / ".git" / "config").read_text(errors="replace"):
            return "gitlab"
    return "github"


def _ci(root: Path, ci: Ci, words: dict[str, str]) -> list[ProjectFile]:
    if ci == "none":
        return []
    if ci == "github":
        return [_new(root / _GITHUB, _template("github.yml", words))]
    main, jobs = _new(root / _GITLAB, _INCLUDE), _new(root / _GITLAB_JOBS, _template("gitlab.yml", words))
    if main.state == "unchanged" and _GITLAB_JOBS not in _read(main.path):
        main = ProjectFile(main.path, "left", remedy=f"add this to it by hand:\n{_INCLUDE}")
    return [main, jobs]


def _template(name: str, words: dict[str, str]) -> str:
    text = (resources.files("podenv.catalogue") / "templates" / name).read_text(encoding="utf-8")
    return _filled(text, words)


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def _indented(text: str, indent: str) -> str:
    return "".join(f"{indent}{line}" for line in text.splitlines(keepends=True))


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()  # newlines as they are
    except OSError as error:
        raise ProjectFileRefused(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ProjectFileRefused(f"{path} is not UTF-8; save it so, then try again.") from None
