"""`podenv check` as a program: exit codes, formats, and the hooks of pre-commit."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.check.project import Project
from tests.packageindex import Index

from podenv.catalogue.environment import Catalogue
from podenv.cli import certain
from podenv.errors import CertainToFail

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]
TEXT = {"type": "string", "minLength": 1}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
MESSAGE = {"type": "object", "required": ["text"], "properties": {"text": TEXT}}
# The part of the OASIS schema of SARIF 2.1.0 that a report of ours uses, written after its specification. The whole
# schema, which accepts what this one does, is not in any package that is installed here.
SARIF: dict[str, Any] = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "additionalProperties": False,
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "name": TEXT,
                                    "version": TEXT,
                                    "informationUri": {"type": "string", "format": "uri"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "properties": {
                                                "id": TEXT,
                                                "shortDescription": MESSAGE,
                                                "helpUri": {"type": "string", "format": "uri"},
                                                "defaultConfiguration": {"properties": {"level": LEVEL}},
                                            },
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "invocations": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["executionSuccessful"],
                            "properties": {
                                "executionSuccessful": {"type": "boolean"},
                                "toolExecutionNotifications": {
                                    "type": "array",
                                    "items": {
                                        "required": ["message"],
                                        "properties": {"level": LEVEL, "message": MESSAGE},
                                    },
                                },
                            },
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message"],
                            "properties": {
                                "ruleId": TEXT,
                                "ruleIndex": {"type": "integer", "minimum": -1},
                                "level": LEVEL,
                                "message": MESSAGE,
                                "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
                                "locations": {
                                    "type": "array",
                                    "items": {
                                        "properties": {
                                            "physicalLocation": {
                                                "required": ["artifactLocation"],
                                                "properties": {
                                                    "artifactLocation": {
                                                        "properties": {"uri": {"pattern": "^[^ \\\\]+$"}}
                                                    },
                                                    "region": {
                                                        "properties": {
                                                            "startLine": {"type": "integer", "minimum": 1},
                                                            "startColumn": {"type": "integer", "minimum": 1},
                                                        }
                                                    },
                                                },
                                            }
                                        }
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}  # fmt: skip


@pytest.fixture
def podenv(project: Project) -> Run:
    """Run podenv in the project."""

    def run(*words: str, exit_code: int = 0, **changes: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, **changes}
        done = subprocess.run([BIN / "podenv", *words], capture_output=True, text=True, timeout=300, env=env)
        assert done.returncode == exit_code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def faulty(index: Index, project: Project) -> Project:
    """One environment, one task with an error, a warning and a note."""
    index.add("alpha", "1.0", requires=["beta"], files={"alpha/__init__.py": "def read(path): ...\n"})
    index.add("beta", "1.0")
    project.environment("a", "alpha\n")
    project.dag("""
        @task.env("a")
        def f():
            import alpha
            import beta
            import gamma

            alpha.read(pth=1)
        """)
    return project


def test_text_says_where_what_and_what_to_do_and_a_summary(faulty: Project, podenv: Run) -> None:
    done = podenv("check", exit_code=1)
    assert done.stdout.splitlines() == [
        "dags/etl.py:10:12: note[transitive-import]: `beta` is in 'a' only through alpha.",
        "  Add `beta` to envs/a/requirements.in: their next version may not bring it.",
        "dags/etl.py:11:12: error[import]: `gamma` is not in 'a' (Python 3.11).",
        "  Add the package that brings it to envs/a/requirements.in, then run `podenv lock a`.",
        "dags/etl.py:13:16: warning[argument]: Argument `pth` does not match any known parameter of function `read`, "
        "as 'a' has it.",
        "  Look it up in the documentation of the version in the lock.",
    ]
    assert re.fullmatch(
        r"1 error, 1 warning, 1 note in 1 file; 1 task in 1 environment checked in \d\.\d s\.\n", done.stderr
    )


def test_exit_codes_follow_fail_on_and_what_could_not_be_checked(faulty: Project, podenv: Run, tmp_path: Path) -> None:
    podenv("check", "--ignore", "import")
    podenv("check", "--ignore", "import", "--fail-on", "warning", exit_code=1)
    podenv("check", "--fail-on", "never")
    podenv("check", "--select", "transitive-import")
    folders = {"UV_CACHE_DIR": str(tmp_path / "none"), "PODENV_CACHE": str(tmp_path / "other")}
    done = podenv("check", exit_code=2, UV_OFFLINE="1", UV_DEFAULT_INDEX="http://127.0.0.1:9/simple", **folders)
    assert "could not check: import, " in done.stderr
    podenv("check", "--select", "imprt", exit_code=2)
    podenv("check", "nowhere", exit_code=2)
    assert "envs/a/values.yaml is not a .py file" in podenv("check", "envs/a/values.yaml", exit_code=2).stderr
    assert "Did you mean 'a'?" in podenv("check", "--env", "aa", exit_code=2).stderr


def test_json_has_every_field_and_a_fingerprint_that_outlives_moved_lines(faulty: Project, podenv: Run) -> None:
    first = json.loads(podenv("check", "--format", "json", exit_code=1).stdout)
    file = faulty.root / "dags" / "etl.py"
    file.write_text(f"# moved\n\n{file.read_text()}")
    second = json.loads(podenv("check", "--format", "json", exit_code=1).stdout)
    assert list(first["findings"][0]) == [
        "rule", "severity", "file", "line", "column", "message", "remedy", "dag", "task", "environment", "fingerprint",
    ]  # fmt: skip
    assert [one["line"] + 2 for one in first["findings"]] == [one["line"] for one in second["findings"]]
    assert [one["fingerprint"] for one in first["findings"]] == [one["fingerprint"] for one in second["findings"]]
    assert first["skipped"] == []
    assert first["checked"] == {"files": 1, "tasks": 1, "environments": 1}


def test_sarif_is_what_its_schema_asks_for(faulty: Project, podenv: Run) -> None:
    document = json.loads(podenv("check", "--format", "sarif", exit_code=1).stdout)
    jsonschema.Draft202012Validator(SARIF).validate(document)
    results = document["runs"][0]["results"]
    assert [one["ruleId"] for one in results] == ["transitive-import", "import", "argument"]
    rules = document["runs"][0]["tool"]["driver"]["rules"]
    assert [rules[one["ruleIndex"]]["id"] for one in results] == [one["ruleId"] for one in results]
    place = results[1]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "dags/etl.py"}, "region": {"startLine": 11, "startColumn": 12}}


def test_github_annotations_have_the_errors_first(faulty: Project, podenv: Run) -> None:
    lines = podenv("check", "--format", "github", exit_code=1).stdout.splitlines()
    assert lines[0] == (
        "::error file=dags/etl.py,line=11,col=12,title=podenv check[import]::`gamma` is not in 'a' (Python 3.11). "
        "Add the package that brings it to envs/a/requirements.in, then run `podenv lock a`."
    )
    assert [line.partition(" ")[0] for line in lines] == ["::error", "::warning", "::notice"]


def test_a_run_refuses_what_is_certain_to_fail_until_told_otherwise(
    index: Index, project: Project, podenv: Run
) -> None:
    project.environment("a")
    project.dag("""
        @dag(schedule=None)
        def etl():
            @task.env("a")
            def f():
                import gamma

            f()


        etl()
        """)
    podenv("check", exit_code=1)  # unpacks the lock
    refused = podenv("run", "etl", exit_code=1).stderr
    assert "error: Certain to fail, dags/etl.py:11: `gamma` is not in 'a' (Python 3.11)." in refused
    assert refused.strip().endswith("Correct that, or go on with --no-check.")
    assert "No module named 'gamma'" in podenv("run", "etl", "--no-check", exit_code=1).stderr


def test_an_environment_whose_tasks_are_certain_to_fail_is_refused_and_the_others_are_not(
    faulty: Project, podenv: Run
) -> None:
    catalogue = Catalogue(faulty.root / "envs")
    assert certain.faults(catalogue) == {}  # nothing is unpacked: it costs nothing, so nothing is known
    podenv("check", exit_code=1)
    known = certain.faults(catalogue)
    certain.refuse("b", known)
    with pytest.raises(CertainToFail, match=r"Environment 'a': Certain to fail, dags/etl\.py:11: `gamma`"):
        certain.refuse("a", known)


def _git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_hooks_run_under_pre_commit_on_a_sample_repository(
    faulty: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    for folder in (hooks, faulty.root):
        _git(folder, "init", "--quiet")
    _git(hooks, "add", ".")
    _git(hooks, "commit", "--quiet", "-m", "hooks")
    # Not installed anew: the program under test is the one on PATH.
    own = "language: system, additional_dependencies: []"
    (faulty.root / ".pre-commit-config.yaml").write_text(
        f"repos:\n- repo: {hooks}\n  rev: HEAD\n  hooks:\n"
        f"  - {{id: podenv-check, {own}}}\n  - {{id: podenv-lock-check, {own}}}\n"
    )
    _git(faulty.root, "add", ".")
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "pre-commit"))
    done = subprocess.run(
        [BIN / "pre-commit", "run", "--all-files", "--color", "never"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"podenv check\.+Failed", done.stdout)
    assert "error[import]: `gamma` is not in 'a'" in done.stdout
    assert re.search(r"podenv lock --check\.+Passed", done.stdout)
