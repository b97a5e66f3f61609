"""The contract with the Airflow that is installed: what podenv takes from it beyond what its documentation promises."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import podenv
from podenv.airflow import compat
from podenv.errors import AirflowUnsupported


def test_airflow_has_every_private_name_that_podenv_uses() -> None:
    assert compat.missing() == []


def test_a_name_that_vanished_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = ("airflow.nowhere", "airflow.sdk.bases.decorator")
    monkeypatch.setattr(compat, "_NAMES", {"_TaskDecorators": moved})
    monkeypatch.setattr(
        compat,
        "_MEMBERS",
        {
            "airflow.utils.nowhere": ("x",),
            "airflow.sdk.bases.decorator:Decorated": ("x",),
            "airflow.sdk.bases.decorator:DecoratedOperator": ("_hook", "_hook_apply_defaults"),
        },
    )
    assert compat.missing() == [
        "airflow.nowhere:_TaskDecorators",
        "airflow.sdk.bases.decorator:Decorated",
        "airflow.sdk.bases.decorator:DecoratedOperator._hook",
        "airflow.utils.nowhere",
    ]
    with pytest.raises(AirflowUnsupported) as raised:
        vars(compat)["__getattr__"]("_TaskDecorators")
    assert str(raised.value).endswith(
        " which has no airflow.nowhere:_TaskDecorators; install versions that podenv's documentation names "
        "(Compatibility)."
    )


def test_what_no_version_of_airflow_has_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'anything'"):
        vars(compat)["__getattr__"]("anything")


def test_the_type_checker_knows_the_same_names() -> None:
    assert set(compat.__all__) == set(vars(compat)["_NAMES"])


def test_no_other_module_imports_what_compat_holds() -> None:
    private = {module for modules in vars(compat)["_NAMES"].values() for module in modules}
    found = [
        f"{file.name}: {node.module}"
        for file in Path(str(podenv.__file__)).parent.rglob("*.py")
        if file.name not in ("compat.py", "plugin.py")  # every task imports the second: nothing but its base class
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module in private
    ]
    assert found == []


def test_a_run_makes_the_newest_execution_api_only() -> None:
    compat.serve_newest_execution_api_only()
    from airflow.api_fastapi.execution_api import versions

    assert len(versions.bundle.versions) == 1  # else it is right too, and 3 s slower
