"""Modules beside the DAG: what travels with the function that imports it, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podenv.call.source import build_call, check_syntax, extract
from podenv.errors import CallError, SettingError, SourceError
from podenv.runtime.call import unpack


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a DAG bundle, from which Python imports."""
    folder = tmp_path / "project" / "dags"
    folder.mkdir(parents=True)
    (tmp_path / "project" / "envs").mkdir()
    monkeypatch.setattr(sys, "path", [one for one in sys.path if "site-packages" in one or "python3" in one])
    monkeypatch.syspath_prepend(str(folder))
    return folder


def write(root: Path, **files: str) -> None:
    """Files by their paths: ``common__clean`` is common/clean.py, ``common____init__`` common/__init__.py."""
    for name, text in files.items():
        package, init, module = name.partition("____init__")
        path = root / (package.replace("__", "/") + ("/__init__" if init else "") + f"{module}.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def function(root: Path, text: str, package: str = "") -> Callable[..., Any]:
    """``f`` of the DAG file with this text, which is not run at its top."""
    file = root / "dag.py"
    file.write_text(text)
    names: dict[str, Any] = {"__name__": "dag", "__package__": package}
    body = text[text.index("def f(") :]
    exec(compile("\n" * text[: text.index("def f(")].count("\n") + body, str(file), "exec", dont_inherit=True), names)
    names["__loader__"] = object()  # nothing to compare: the top did not run
    return names["f"]  # type: ignore[no-any-return]


def modules(source: Any) -> dict[str, str]:
    """What travels: modules and the last part of their files."""
    found = unpack(source.modules.packed)["modules"] if source.modules.packed else {}
    return {name: ("package" if package else Path(file).name) for name, (file, package, _) in found.items()}


def refused(text: str, root: Path) -> str:
    with pytest.raises(SourceError) as caught:
        extract(function(root, text))
    return str(caught.value).replace(str(root.parent.parent), "")


def test_modules_and_what_they_import_travel_and_others_stay(root: Path) -> None:
    write(
        root,
        common____init__="",
        common__clean="from . import words\nfrom .deep.inner import x\nimport json, numpy\n",
        common__words="def lower(): import late\n",
        common__unused="",
        common__deep____init__="from ..words import lower\n",
        common__deep__inner="x = 1\n",
        late="",
        unused="",
    )
    source = extract(function(root, "from common.clean import clean\nimport unused\ndef f(): return clean()\n"))
    assert modules(source) == {
        "common": "package",
        "common.clean": "clean.py",
        "common.words": "words.py",
        "common.deep": "package",
        "common.deep.inner": "inner.py",
        "late": "late.py",
    }
    assert source.modules.names == ["common", "late"]
    call = build_call(
        function(root, "from common.clean import clean\nimport unused\ndef f(): return clean()\n"), [], {}
    )
    assert call.travels == (
        "With f travel 1 statement of dags/dag.py and 6 files (common/__init__.py, common/clean.py, deep/__init__.py, "
        "deep/inner.py, common/words.py and 1 more): 0.2 KiB."
    )


@pytest.mark.parametrize(
    "body",
    [
        "def f():\n    import tools\n",
        "def f():\n    from tools import x\n",
        "import tools as t\ndef f(): return t.x\n",
        "from tools import *\ndef f():\n    from tools import x\n",
        "def f():\n    import importlib\n    return importlib.import_module('tools')\n",
    ],
)
def test_each_way_to_import_is_seen(body: str, root: Path) -> None:
    write(root, tools="x = 1\n")
    assert modules(extract(function(root, body))) == {"tools": "tools.py"}


def test_what_is_for_a_type_checker_or_pythons_own_or_airflows_stays(root: Path) -> None:
    write(root, tools="", json="", airflow="", podenv="")
    text = (
        "from typing import TYPE_CHECKING\n"
        "def f():\n    import json, airflow, podenv.x, numpy\n    if TYPE_CHECKING: import tools\n"
    )
    assert modules(extract(function(root, text))) == {}


def test_folders_without_an_init_file_are_packages_where_something_in_them_travels(root: Path) -> None:
    write(root, space__part="", numpy__notes="", other__deep__x="")
    (root / "numpy" / "notes.py").rename(root / "numpy" / "notes.txt")
    source = extract(function(root, "def f():\n    import space.part, numpy\n    from other.deep import x\n"))
    assert modules(source) == {
        "space": "package",
        "space.part": "part.py",
        "other": "package",
        "other.deep": "package",
        "other.deep.x": "x.py",
    }


def test_modules_that_import_each_other_travel(root: Path) -> None:
    write(root, one="import two\n", two="import one\n")
    assert modules(extract(function(root, "def f():\n    import one\n"))) == {"one": "one.py", "two": "two.py"}


def test_data_files_travel_with_a_package_where_something_reads_them(root: Path) -> None:
    write(root, common____init__="", common__read="from importlib import resources\n")
    (root / "common" / "sql").mkdir()
    (root / "common" / "sql" / "one.sql").write_text("select 1")
    (root / "common" / ".hidden").write_text("no")
    (root / "common" / "note.txt").write_bytes(b"\xff")
    source = extract(function(root, "def f():\n    import common.read\n"))
    assert unpack(source.modules.packed)["data"] == {"common": {"note.txt": b"\xff", "sql/one.sql": b"select 1"}}
    silent = extract(function(root, "def f():\n    import common\n"))
    assert unpack(silent.modules.packed)["data"] == {}


def test_a_folder_of_data_that_is_named_as_a_package_travels(root: Path) -> None:
    write(root, common____init__="")
    (root / "common" / "sql").mkdir()
    (root / "common" / "sql" / "one.sql").write_text("select 1")
    source = extract(function(root, "from importlib.resources import files\ndef f(): return files('common.sql')\n"))
    assert modules(source) == {"common": "package", "common.sql": "package"}
    assert unpack(source.modules.packed)["data"]["common.sql"] == {"one.sql": b"select 1"}


def test_a_large_data_file_is_refused(root: Path) -> None:
    write(root, common____init__="import pkgutil\n")
    (root / "common" / "big.bin").write_bytes(bytes(5 * 1024**2))
    assert refused("def f():\n    import common\n", root) == (
        "/project/dags/common/big.bin is 5.0 MiB, and a data file that travels with a package holds at most 256 KiB: "
        "put the package into `packages` of the environment, or the file into storage."
    )


def test_more_than_a_call_holds_is_refused_and_names_packages(root: Path) -> None:
    import random

    write(root, big=f"x = {random.Random(1).randbytes(800_000)!r}\n")
    with pytest.raises(CallError, match="put large ones into `packages` of the environment"):
        build_call(function(root, "def f():\n    import big\n"), [], {})


def test_a_binary_module_is_refused(root: Path) -> None:
    suffix = ".cpython-311-x86_64-linux-gnu.so" if sys.version_info[:2] == (3, 11) else ".so"
    (root / f"fast{suffix}").write_bytes(b"")
    assert refused("def f():\n    import fast\n", root) == (
        f"/project/dags/dag.py:2: /project/dags/fast{suffix} is a binary module, made for this machine's Python, and "
        "does not travel; put it into `packages` of the environment."
    )


def test_a_module_in_two_folders_is_refused_unless_they_are_alike(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = root.parent / "plugins"
    other.mkdir()
    monkeypatch.syspath_prepend(str(other))
    write(root, tools="x = 1\n")
    write(other, tools="x = 1\n")
    assert modules(extract(function(root, "def f():\n    import tools\n"))) == {"tools": "tools.py"}
    write(other, tools="x = 22\n")
    assert refused("def f():\n    import tools\n", root) == (
        "/project/dags/dag.py:2: tools is in two folders, /project/plugins/tools.py and /project/dags/tools.py; rename "
        "one of them, or set [podenv] code to the folder that is meant."
    )
    monkeypatch.setenv("PODENV_CODE", str(root))
    assert modules(extract(function(root, "def f():\n    import tools\n"))) == {"tools": "tools.py"}


def test_a_package_in_two_folders_is_refused_and_a_mere_folder_hides_none(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = root.parent / "plugins"
    write(other, common____init__="", space__x="")
    write(root, common____init__="", space____init__="", space__y="")
    monkeypatch.syspath_prepend(str(other))
    assert "common is in two folders, /project/plugins/common/__init__.py and" in refused(
        "def f():\n    import common\n", root
    )
    assert modules(extract(function(root, "def f():\n    import space.y\n"))) == {"space": "package", "space.y": "y.py"}


def test_a_symbolic_link_within_the_project_is_followed_and_one_out_of_it_refused(root: Path) -> None:
    write(root.parent / "libs", shared____init__="x = 1\n")
    (root / "shared").symlink_to(root.parent / "libs" / "shared")
    assert modules(extract(function(root, "def f():\n    import shared\n"))) == {"shared": "package"}
    write(root.parent.parent, outside="x = 1\n")
    (root / "tools.py").symlink_to(root.parent.parent / "outside.py")
    assert refused("def f():\n    import tools\n", root) == (
        "/project/dags/dag.py:2: /project/dags/tools.py is a symbolic link to /outside.py, outside of the project "
        "/project; copy it into the project, or put it into `packages` of the environment."
    )


def test_a_module_that_is_not_python_is_refused(root: Path) -> None:
    write(root, broken="x = (\n")
    assert refused("def f():\n    import broken\n", root) == (
        "/project/dags/broken.py:1 is not valid Python: '(' was never closed."
    )


def test_a_file_that_is_not_there_or_is_no_text_is_refused_and_such_a_data_file_left_out(root: Path) -> None:
    (root / "gone.py").symlink_to(root / "nowhere.py")
    assert refused("def f():\n    import gone\n", root) == (
        "/project/dags/gone.py cannot be read: No such file or directory."
    )
    (root / "zero.py").write_bytes(b"x = 1\0")
    assert "/project/dags/zero.py" in refused("def f():\n    import zero\n", root)
    (root / "latin.py").write_bytes(b"x = '\xe9'\n")
    assert "/project/dags/latin.py is not readable as Python: " in refused("def f():\n    import latin\n", root)
    write(root, common____init__="import pkgutil\n")
    (root / "common" / "gone.txt").symlink_to(root / "nowhere.txt")
    assert modules(extract(function(root, "def f():\n    import common\n"))) == {"common": "package"}


def test_a_module_that_is_newer_than_the_environment_is_refused(root: Path) -> None:
    write(root, modern="\nmatch 1:\n    case 1: pass\n")
    source = extract(function(root, "def f():\n    import modern\n"))
    check_syntax(source, python="3.10")
    with pytest.raises(
        SourceError, match=r"modern\.py:\d: modern is written for a newer Python than the environment's 3.9"
    ):
        check_syntax(source, python="3.9")


def test_the_configured_folders_are_the_only_ones(root: Path) -> None:
    write(root, tools="")
    write(root.parent / "code", mine="")
    one = function(root, "def f():\n    import tools, mine\n")
    assert modules(extract(one, code=f" {root.parent / 'code'} ,")) == {"mine": "mine.py"}
    with pytest.raises(SettingError) as caught:
        extract(one, code="/nowhere")
    assert str(caught.value) == (
        "[podenv] code names /nowhere, which is not a folder; name folders, with commas between."
    )


def test_a_function_of_an_installed_package_brings_that_package(root: Path, tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    write(site, acme____init__="", acme__other="", third="")
    text = "from .other import x\nimport third\ndef f(): return x, third\n"
    (site / "acme" / "features.py").write_text(text)
    made = function(root, text, package="acme")
    made.__code__ = made.__code__.replace(co_filename=str(site / "acme" / "features.py"))
    source = extract(made)
    assert modules(source) == {"acme": "package", "acme.other": "other.py"}
    assert source.code.package == "acme"


def test_a_change_of_a_module_is_another_call(root: Path) -> None:
    calls = []
    for text in ("x = 1\n", "x = 22\n"):
        write(root, tools=text)
        calls.append(build_call(function(root, "def f():\n    import tools\n"), [], {}).encode())
    assert calls[0] != calls[1]
