"""ty, the type checker: views in, what it finds out. The one place that knows how ty calls its rules."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from podenv import process
from podenv.check.modules import Modules
from podenv.check.shelf import Shelf
from podenv.errors import CheckImpossible, ProgramFailed

# ty's rule -> what of ours it stands for; all others are off. `renamed-rule` would say that this table is old.
RULES = {
    "invalid-syntax": "syntax",
    "missing-module-member": "import-name",
    "missing-attribute": "attribute",
    "unknown-argument": "argument",
    "invalid-explicit-return": "xcom-value",
}
VIEWS = "views"  # the folder of the views: what a relative import in one is about
_ALWAYS_ON = ("invalid-syntax",)
_TIMEOUT = 600.0  # seconds
# What XCom keeps, see `podenv.runtime.tagged`. numpy's scalars become numbers; a name that cannot be resolved would
# make the whole type Unknown, so numpy stands here only where the lock brings it.
_XCOM = """\
from collections.abc import ItemsView, KeysView, Mapping, Sequence, Set
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from ty_extensions import Intersection, Not
{imports}
type XCom = (
    None | bool | int | float | str | date | timedelta | Decimal | UUID{scalars}
    | Mapping[str, XCom]
    | Intersection[Sequence[XCom], Not[bytes], Not[bytearray], Not[memoryview]]
    | Intersection[Set[XCom], Not[KeysView[object]], Not[ItemsView[object, object]]]
)
"""


@dataclass(frozen=True)
class Raw:
    """What ty says of one place of a view: ``rule`` is ours, ``said`` ty's sentence."""

    rule: str
    line: int
    column: int
    said: str


def find() -> Path | None:
    """The program ty, beside this Python or on PATH; None where it is not installed."""
    beside = Path(sys.executable).with_name("ty")
    if beside.is_file():
        return beside
    found = shutil.which("ty")
    return Path(found) if found else None


@cache
def version_of(program: Path) -> str:
    """The version of ty; asked of the installed package, else of the program."""
    if program.parent == Path(sys.executable).parent:
        try:
            return f"ty {version('ty')}"
        except PackageNotFoundError:
            pass
    return process.run([program, "version"], timeout=_TIMEOUT).stdout.strip()


def run(
    program: Path, shelf: Shelf, modules: Modules, texts: Sequence[str], beside: Sequence[tuple[str, str]]
) -> list[list[Raw]]:
    """What ty finds in each of ``texts``; ``beside`` are modules that they can import: a path, and a text.

    Raises `CheckImpossible`.
    """
    numpy = "numpy" in modules
    stub = _XCOM.format(imports="import numpy\n" if numpy else "", scalars=" | numpy.generic" if numpy else "")
    return judge(program, texts, python=shelf.python, packages=shelf.folder, beside=[("_podenv.pyi", stub), *beside])


def judge(
    program: Path,
    texts: Sequence[str],
    *,
    python: str,
    packages: Path | None = None,
    beside: Sequence[tuple[str, str]] = (),
    rules: Mapping[str, str] = RULES,
) -> list[list[Raw]]:
    """What ty finds in each of ``texts`` by ``rules``, ty's to ours; ``packages`` is laid out as an environment.

    Raises `CheckImpossible`.
    """
    with tempfile.TemporaryDirectory(prefix="podenv-check-") as scratch:
        root = Path(scratch)
        views, imported = root / VIEWS, root / "modules"
        views.mkdir()
        imported.mkdir()
        for name, text in beside:
            (imported / name).parent.mkdir(parents=True, exist_ok=True)
            (imported / name).write_text(text)
        for number, text in enumerate(texts):
            (views / f"view_{number}.py").write_text(text)
        config = root / "ty.toml"
        config.write_text(_config(python, packages, (imported, views), rules))
        found = _started(program, root, config, views)
    return _sorted_out(program, found, len(texts), rules)


def _sorted_out(
    program: Path, found: Sequence[dict[str, Any]], texts: int, rules: Mapping[str, str]
) -> list[list[Raw]]:
    result: list[list[Raw]] = [[] for _ in range(texts)]
    for one in found:
        name = Path(one["location"]["path"]).stem
        rule = rules.get(one["check_name"])
        is_view = name.startswith("view_")
        if one["check_name"] == "renamed-rule" or (rule is None and not is_view):
            raise CheckImpossible(f"{version_of(program)} is not the one that podenv knows: {one['description']}.")
        if rule is not None and is_view:
            begin = one["location"]["positions"]["begin"]
            said = one["description"].removeprefix(f"{one['check_name']}: ")
            result[int(name.removeprefix("view_"))].append(Raw(rule, begin["line"], begin["column"], said))
    return result


def _started(program: Path, root: Path, config: Path, views: Path) -> list[dict[str, Any]]:
    argv: list[str | Path] = [
        program, "check", "--exit-zero", "--no-progress", "--color", "never", "--output-format", "gitlab",
        "--config-file", config, "--project", root, views,
    ]  # fmt: skip
    # Settings of the user, and of an activated environment, would change what it finds.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TY_", "VIRTUAL_ENV", "CONDA_"))}
    env = {**kept, "XDG_CONFIG_HOME": str(root), "PYTHONPATH": ""}
    try:
        said = process.run(argv, cwd=root, env=env, timeout=_TIMEOUT).stdout
        answer = json.loads(said)
    except ProgramFailed as error:
        raise CheckImpossible(f"ty failed: {' '.join(error.stderr.split())[-600:] or 'it said nothing'}.") from None
    except ValueError:
        raise CheckImpossible(f"ty gave an answer that is not JSON: {said[:200]!r}.") from None
    assert isinstance(answer, list)
    return answer


def _config(python: str, packages: Path | None, roots: Sequence[Path], rules: Mapping[str, str]) -> str:
    on = "".join(f'{rule} = "error"\n' for rule in rules if rule not in _ALWAYS_ON)
    text = json.dumps
    where = f"python = {text(str(packages))}\n" if packages else ""
    return (
        f'[environment]\n{where}python-version = {text(python)}\npython-platform = "linux"\n'
        f"root = {text([str(root) for root in roots])}\n"
        f'[rules]\nall = "ignore"\n{on}'
        "[analysis]\nrespect-type-ignore-comments = false\n"
    )
