"""What becomes of one task: the environment that it asks for, and which of its arguments go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libcst as cst

from podenv.catalogue.names import is_python_version
from podenv.errors import nearest
from podenv.migrate import comments, images, packages
from podenv.migrate.arguments import DECIDING, DROPPED, KEPT, READ, REFUSED, REMARKED, REMARKED_OF, Kind
from podenv.migrate.findings import Content, Wish
from podenv.migrate.functions import Functions
from podenv.migrate.literals import Computed, Source
from podenv.migrate.packages import Asked, Unfit
from podenv.migrate.uses import Use

_VERSION = re.compile(r"(3\.\d{1,2})(\.\d+)?")
_IN_PATH = re.compile(r"python(3\.\d{1,2})\b")
_PLAIN_VENV = {"", ".venv", "env", "usr", "local", "venv", "virtualenv"}


@dataclass(frozen=True)
class Change:
    """A task that is carried over: what it asks for, the arguments that go, and those that come."""

    use: Use
    wish: Wish
    name: str
    dropped: frozenset[str]
    added: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[tuple[int, str], ...] = ()


class Decider:
    """Decides for the tasks of one DAG file."""

    def __init__(self, source: Source, functions: Functions, file: Path, *, python: str) -> None:
        self._source = source
        self._functions = functions
        self._file = file
        self._python = python
        self._elsewhere = _Elsewhere(source)

    def change(self, use: Use) -> Change:
        """What becomes of ``use``. Raises `Unfit` where it must stay as it is."""
        arguments = self._arguments(use)
        self._check(use, arguments)
        remarks: list[str] = [REMARKED[name] for name in sorted(arguments.keys() & REMARKED_OF[use.kind])]
        read = {
            Kind.VIRTUALENV: self._virtualenv,
            Kind.EXTERNAL_PYTHON: self._external,
            Kind.POD: self._pod,
        }[use.kind]
        asked, content = read(use, arguments, remarks)
        name = self._task_name(use, arguments)
        return Change(
            use,
            Wish(
                content,
                self._hint(use, arguments) or name,
                comments={line: text for line, text in asked.comments.items() if line in content.requirements},
                heading=tuple(comments.above(use.call, "requirements") if use.call else ()),
            ),
            name,
            dropped=frozenset(arguments.keys() & (READ[use.kind] | DROPPED[use.kind] | REMARKED_OF[use.kind])),
            added=self._added(use, arguments),
            remarks=(
                *((use.line, text) for text in (*remarks, *asked.remarks)),
                *self._of_function(use, arguments, asked),
            ),
        )

    def _arguments(self, use: Use) -> dict[str, cst.BaseExpression]:
        arguments: dict[str, cst.BaseExpression] = {}
        for argument in use.call.args if use.call else ():
            if argument.star:
                raise Unfit(
                    f"it takes {self._source.code(argument.value)} by {argument.star}; "
                    "write its arguments out in the call"
                )
            if argument.keyword is None:
                raise Unfit("it has an argument without a name; write `name=value`")
            arguments[argument.keyword.value] = argument.value
        return arguments

    def _check(self, use: Use, arguments: Mapping[str, cst.BaseExpression]) -> None:
        known = KEPT[use.kind] | READ[use.kind] | DROPPED[use.kind] | REMARKED_OF[use.kind]
        for name in arguments:
            if name in REFUSED:
                raise Unfit(f"{name} has no counterpart: {REFUSED[name]}")
            if name not in known:
                raise Unfit(
                    f"podenv does not know its argument {name};{nearest(name, known)} remove it, then migrate again"
                )
        self._check_elsewhere(use, arguments)
        if use.function is not None:
            name = use.function.name.value
            if also := sorted(self._elsewhere.overridden.get(name, set()) & DECIDING):
                raise Unfit(
                    f"`{name}.override({also[0]}=...)` gives it another environment; write a second function for that"
                )
            if line := self._functions.uses(self._source.line(use.function), "virtualenv_string_args"):
                raise Unfit(f"line {line}: {REFUSED['string_args']}")

    def _check_elsewhere(self, use: Use, arguments: Mapping[str, cst.BaseExpression]) -> None:
        before = self._elsewhere.defaults & {"image", "namespace"}  # they would go before the environment's
        if also := sorted(before | (self._elsewhere.defaults & DECIDING & READ[use.kind]) - arguments.keys()):
            raise Unfit(
                f"default_args of this file hold {', '.join(also)}; write it into the calls, then migrate again"
            )
        mapped = self._source.parent(use.call) if use.call else None
        expanded = self._source.parent(mapped) if isinstance(mapped, cst.Attribute) else None
        words = {one.keyword.value for one in expanded.args if one.keyword} if isinstance(expanded, cst.Call) else set()
        if also := sorted(words & (READ[use.kind] | DROPPED[use.kind])):
            raise Unfit(f"it is mapped over {', '.join(also)}, and each environment needs a task of its own")

    def _value(self, arguments: Mapping[str, cst.BaseExpression], name: str) -> Any:
        """The value of an argument, None where it is missing. Raises `Unfit` for what only a run knows."""
        if name not in arguments:
            return None
        try:
            return self._source.value(arguments[name])
        except Computed:
            raise Unfit(
                f"its {name} is computed ({packages.brief(self._source.code(arguments[name]))}); "
                "write the value itself, then migrate again"
            ) from None

    def _texts(self, arguments: Mapping[str, cst.BaseExpression], name: str) -> list[str]:
        value = self._value(arguments, name)
        texts = [value] if isinstance(value, str) else value or []
        if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
            raise Unfit(f"its {name} is neither a text nor a list of texts")
        return texts

    def _virtualenv(
        self, use: Use, arguments: Mapping[str, cst.BaseExpression], remarks: list[str]
    ) -> tuple[Asked, Content]:
        asked = Asked()
        requirements = self._value(arguments, "requirements")
        if isinstance(requirements, str) and requirements.endswith(".txt") and not packages.is_template(requirements):
            packages.of_file(asked, self._file.parent / requirements)
        else:
            for text in self._texts(arguments, "requirements"):
                asked.add(text)
            if "requirements" in arguments:
                asked.comments |= comments.of_list(self._source.resolved(arguments["requirements"]))
        asked.option(self._texts(arguments, "pip_install_options"))
        for number, url in enumerate(self._texts(arguments, "index_urls")):
            asked.from_index(url, extra=number > 0)
        python = self._version(self._value(arguments, "python_version"), remarks)
        return asked, Content(python, tuple(sorted(set(asked.lines))), asked.index, tuple(asked.indexes))

    def _version(self, value: object, remarks: list[str]) -> str:
        if value is None:
            return self._python
        found = _VERSION.fullmatch(str(value))
        if str(value) == "3":
            return self._python
        if not isinstance(value, str) or found is None or not is_python_version(found[1]):
            raise Unfit(f"its python_version is {value!r}; podenv runs Python 3.8 and newer, written like 3.12")
        if found[2]:
            remarks.append(f"an environment names no patch release: Python {value} becomes {found[1]}")
        return found[1]

    def _external(
        self, use: Use, arguments: Mapping[str, cst.BaseExpression], remarks: list[str]
    ) -> tuple[Asked, Content]:
        path = self._interpreter(arguments)
        if path and (found := packages.installed(Path(path))):
            version, asked = found
            return asked, Content(version, tuple(sorted(asked.lines)))
        what = path or self._source.code(arguments["python"]) if "python" in arguments else "its interpreter"
        if use.function is None:
            raise Unfit(
                f"what {what} holds cannot be read here; make an environment, then write @task.env or EnvPodOperator"
            )
        imports = sorted(self._functions.imports(self._source.line(use.function)))
        if imports:
            raise Unfit(
                f"what {what} holds cannot be read here, and the function imports {', '.join(imports)}; "
                "run podenv where that virtual environment is, or make an environment by hand"
            )
        spoken = _IN_PATH.search(path or "")
        return Asked(), Content(spoken[1] if spoken and is_python_version(spoken[1]) else self._python)

    def _interpreter(self, arguments: Mapping[str, cst.BaseExpression]) -> str | None:
        """The path that ``python`` names; None where only a run knows it."""
        if "python" not in arguments:
            return None
        try:
            value = self._source.value(arguments["python"])
        except Computed:
            return None
        return value if isinstance(value, str) and not packages.is_template(value) else None

    def _pod(self, use: Use, arguments: Mapping[str, cst.BaseExpression], remarks: list[str]) -> tuple[Asked, Content]:
        if "image" not in arguments:
            raise Unfit("it names no image here; make an environment for what it runs by hand")
        image = self._value(arguments, "image")
        if not isinstance(image, str) or packages.is_template(image):
            raise Unfit("its image is a template, known only when the task runs; make an environment for each image")
        if not use.decorates and "cmds" not in arguments:
            raise Unfit("it runs the image's own entrypoint; name the command by cmds=[...], then migrate again")
        images.values(image)  # raises for one that cannot be
        python = images.python(image)
        if python is None:
            remarks.append(
                f"which Python the image {image} has cannot be read here: correct `python` in values.yaml if it is not "
                f"{self._python}"
            )
        return Asked(), Content(python or self._python, image=image, namespace=self._namespace(arguments, remarks))

    def _namespace(self, arguments: Mapping[str, cst.BaseExpression], remarks: list[str]) -> str:
        try:
            value = self._source.value(arguments["namespace"]) if "namespace" in arguments else None
        except Computed:
            value = "{{ computed }}"
        if not isinstance(value, str):
            return ""
        if not packages.is_template(value):
            return value
        remarks.append(
            "its namespace is computed: the environment gets one of its own; set `namespace` in values.yaml where it "
            "needs Secrets or a service account of another"
        )
        return ""

    def _added(self, use: Use, arguments: Mapping[str, cst.BaseExpression]) -> dict[str, str]:
        """Arguments that keep what podenv does otherwise by itself."""
        if use.kind is not Kind.POD or "do_xcom_push" in arguments:
            return {}
        # KubernetesPodOperator pushes no value unless it is told to.
        quiet = use.function is not None and not self._functions.returns_value(self._source.line(use.function))
        return {} if quiet else {"do_xcom_push": "False"}

    def _of_function(
        self, use: Use, arguments: Mapping[str, cst.BaseExpression], asked: Asked
    ) -> list[tuple[int, str]]:
        if use.kind is Kind.POD and not use.decorates:
            return []
        if use.function is None:
            return [(use.line, "its function is in another file: check what it imports against requirements.in")]
        if use.kind is Kind.POD and not asked.lines:
            imports = sorted(self._functions.imports(self._source.line(use.function)))
            why = (
                "what the image holds is unknown here: write it into requirements.in too, for `podenv run` without pods"
            )
            return [(use.line, f"{why} ({', '.join(imports)})")] if imports else []
        inherits = use.kind is not Kind.POD and (
            "inherit_env" not in arguments or self._value(arguments, "inherit_env") is not False
        )
        line = self._source.line(use.function)
        return list(self._functions.remarks(line, distributions=asked.distributions, inherits=inherits))

    def _task_name(self, use: Use, arguments: Mapping[str, cst.BaseExpression]) -> str:
        if use.function is not None:
            return use.function.name.value
        try:
            return str(self._source.value(arguments["task_id"]))
        except (Computed, KeyError):
            return use.what.lstrip("@")

    def _hint(self, use: Use, arguments: Mapping[str, cst.BaseExpression]) -> str:
        """A name for the environment that the file itself uses for it."""
        if use.kind is Kind.EXTERNAL_PYTHON and (path := self._interpreter(arguments)):
            folder = Path(path).parent.parent.name
            return "" if folder.lstrip(".") in _PLAIN_VENV else folder
        return ""


class _Elsewhere:
    """What decides for a task from another place in the file."""

    def __init__(self, source: Source) -> None:
        self.defaults: set[str] = set()
        self.overridden: dict[str, set[str]] = {}
        finder = _ElsewhereFinder(source, self)
        source.module.visit(finder)


class _ElsewhereFinder(cst.CSTVisitor):
    def __init__(self, source: Source, found: _Elsewhere) -> None:
        super().__init__()
        self._source = source
        self._found = found

    def visit_Arg(self, node: cst.Arg) -> None:
        if node.keyword is None or node.keyword.value != "default_args":
            return
        value = self._source.resolved(node.value)
        for element in value.elements if isinstance(value, cst.Dict) else ():
            if isinstance(element, cst.DictElement) and isinstance(element.key, cst.SimpleString):
                self._found.defaults.add(str(element.key.evaluated_value))

    def visit_Call(self, node: cst.Call) -> None:
        match node.func:
            case cst.Attribute(value=cst.Name(value=name), attr=cst.Name(value="override")):
                words = {argument.keyword.value for argument in node.args if argument.keyword}
                self._found.overridden.setdefault(name, set()).update(words)
