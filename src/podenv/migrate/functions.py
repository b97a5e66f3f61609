"""What a function needs of its environment, read from its source."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from packaging.utils import canonicalize_name

from podenv.call.tree import syntax_tree

_Definition = ast.FunctionDef | ast.AsyncFunctionDef

# Modules whose distribution has another name; for a remark only, nothing is installed by it.
_DISTRIBUTIONS = {
    "attr": "attrs", "bs4": "beautifulsoup4", "Crypto": "pycryptodome", "cv2": "opencv-python", "fitz": "pymupdf",
    "git": "gitpython", "MySQLdb": "mysqlclient", "PIL": "pillow", "psycopg2": "psycopg2-binary",
    "skimage": "scikit-image", "sklearn": "scikit-learn",
}  # fmt: skip
_AIRFLOW = (
    "the function imports airflow, which its environment does not have: pass what it needs as an argument "
    "(connections=[...] brings Connections, variables=[...] Variables), or add apache-airflow-task-sdk"
)
_MODULE = (
    "the function imports {module}, and no requirement is named so: add {distribution} unless another package brings it"
)
_VARIABLES = (
    "the function reads environment variables; those of Airflow's worker are not there: pass env_vars=, or set `env` "
    "in its values.yaml"
)
_CONTEXT = "**{name} gets no context values: name in the signature those that it uses (ds, params, run_id ...)"
_EXTRA_WORDS = ("python-", "py")


class Functions:
    """The functions of one DAG file by the line of their ``def``."""

    def __init__(self, text: bytes, file: Path) -> None:
        tree = syntax_tree(text, str(file))
        self._folder = file.parent
        self._found = {node.lineno: node for node in ast.walk(tree) if isinstance(node, _Definition)}

    def remarks(self, line: int, *, distributions: Collection[str], inherits: bool) -> Iterator[tuple[int, str]]:
        """What the function at ``line`` uses and may not have: line and sentence.

        ``distributions`` are the normalised names that its environment asks for; ``inherits``: it saw the variables of
        Airflow's worker.
        """
        function = self._found[line]
        for module, where in self.imports(line).items():
            if module == "airflow":
                if not any(name.startswith("apache-airflow") for name in distributions):
                    yield where, _AIRFLOW
            elif not any(_may_hold(name, module) for name in distributions):
                yield where, _MODULE.format(module=module, distribution=_DISTRIBUTIONS.get(module, module))
        if inherits and (where := _reads_variables(function)):
            yield where, _VARIABLES
        if (rest := function.args.kwarg) and (where := _uses(function, rest.arg)):
            yield where, _CONTEXT.format(name=rest.arg)

    def imports(self, line: int) -> dict[str, int]:
        """The modules of others that the function at ``line`` imports, each with the line of its import."""
        found: dict[str, int] = {}
        for node in ast.walk(self._found[line]):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and not self._is_beside(top):
                    found.setdefault(top, getattr(node, "lineno", line))
        return found

    def returns_value(self, line: int) -> bool:
        """True if the function at ``line`` returns anything."""
        return any(isinstance(node, ast.Return) and node.value for node in ast.walk(self._found[line]))

    def uses(self, line: int, name: str) -> int:
        """The line at which the function at ``line`` uses ``name``; 0 where it does not."""
        return _uses(self._found[line], name)

    def _is_beside(self, module: str) -> bool:
        return (self._folder / f"{module}.py").is_file() or (self._folder / module).is_dir()


def _uses(function: _Definition, name: str) -> int:
    lines = [node.lineno for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == name]
    return min(lines, default=0)


def _reads_variables(function: _Definition) -> int:
    lines = [
        node.lineno
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    ]
    return min(lines, default=0)


def _may_hold(distribution: str, module: str) -> bool:
    plain = canonicalize_name(module)
    known = {plain, canonicalize_name(_DISTRIBUTIONS.get(module, module)), *(word + plain for word in _EXTRA_WORDS)}
    return distribution in known or re.match(rf"{re.escape(plain)}(-|\d)", distribution) is not None
