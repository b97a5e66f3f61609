"""Proposals -> edits: of the call that gives a task its size, or of the environment's values where no call does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import libcst as cst

from podenv.catalogue import quantity
from podenv.catalogue.automemory import AUTO
from podenv.catalogue.environment import VALUES, Catalogue
from podenv.check import index
from podenv.check.tasks import Task
from podenv.errors import PodenvError, ResourceError
from podenv.migrate.findings import FileChange
from podenv.migrate.literals import Source
from podenv.sizes import calledit, valuesedit
from podenv.sizes.calledit import Calls
from podenv.sizes.valuesedit import ByHand
from podenv.usage.runs import TaskSizes

_WORDS = ("memory", "cpu")


@dataclass(frozen=True)
class Left:
    """What a person must do: ``where`` (a DAG and a task, or an environment), what to set, and why it is not done."""

    where: str
    what: str
    why: str


@dataclass
class Edits:
    """The files to change, and what is left."""

    files: list[FileChange] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


def plan(sizes: Sequence[TaskSizes], folder: Path, catalogue: Catalogue) -> Edits:
    """What is to be edited for the proposals of ``sizes``: DAG files of ``folder``, values of ``catalogue``."""
    return _Plan(sizes, folder, catalogue).run()


@dataclass(frozen=True)
class _Wish:
    """One size of one task."""

    task: TaskSizes
    word: str
    value: str

    @property
    def where(self) -> str:
        return f"{self.task.dag}.{self.task.task}"

    @property
    def what(self) -> str:
        return f'{self.word}="{self.value}"'


class _Plan:
    def __init__(self, sizes: Sequence[TaskSizes], folder: Path, catalogue: Catalogue) -> None:
        self._sizes = sizes
        self._catalogue = catalogue
        self._edits = Edits()
        self._found = index.tasks([folder], roots=[folder])
        self._sources: dict[Path, tuple[Source, Calls, bytes]] = {}
        self._calls: dict[Path, dict[cst.Call, dict[str, str]]] = defaultdict(dict)
        self._defaults: dict[tuple[str, str], list[_Wish]] = defaultdict(list)

    def run(self) -> Edits:
        for wish in self._wishes():
            try:
                self._place(wish)
            except ByHand as why:
                self._leave(wish.where, wish.what, str(why))
        for path, calls in self._calls.items():
            source, _, before = self._sources[path]
            self._edits.files.append(FileChange(path, before, calledit.edited(source, calls)))
        self._values()
        self._edits.files = [one for one in self._edits.files if one.changed]
        return self._edits

    def _wishes(self) -> Iterator[_Wish]:
        for task in self._sizes:
            for word, value in zip(_WORDS, (task.proposed_memory, task.proposed_cpu), strict=True):
                if value is not None:
                    yield _Wish(task, word, value)

    def _place(self, wish: _Wish) -> None:
        """Note the edit where the size is given. Raises `ByHand`."""
        uses = [one for one in self._found.tasks if (one.dag, one.task) == (wish.task.dag, wish.task.task)]
        if not uses:
            raise ByHand("no call in the DAG files makes it by that name")
        if len({(one.file.name, one.line, one.column) for one in uses}) > 1:
            raise ByHand("several calls make it")
        use = uses[0]
        if use.environment != wish.task.environment or len(uses) > 1:
            raise ByHand("its environment is computed, or mapped")
        if "container_resources" in use.given:
            raise ByHand("container_resources gives its sizes")
        if wish.word in use.given:
            self._in_call(wish, use)
        else:
            self._defaults[wish.task.environment, wish.word].append(wish)

    def _in_call(self, wish: _Wish, use: Task) -> None:
        where = f"{use.file.name}:{use.line}"
        _, calls, _ = self._source(Path(use.file.path))
        call = calls.find(_place_of(use))
        if call is None or calls.given(call, wish.word) is None:
            raise ByHand(f"{where} does not say it itself: default_args, a partial or an override does")
        sharing = {one.task for one in self._found.tasks if _same_place(one, use)}
        if len(sharing) > 1 or calls.is_repeated(call):
            raise ByHand(f"the call in {where} makes other tasks too")
        given = use.arguments.get(wish.word)
        if given == AUTO:
            return
        if not isinstance(calls.given(call, wish.word), cst.SimpleString | cst.Integer | cst.Float):
            raise ByHand(f"{wish.word} in {where} is computed")
        if _equal(str(given), wish.value):
            return
        most = use.arguments.get("max_memory")
        if wish.word == "memory" and isinstance(most, str) and _more(wish.value, most):
            raise ByHand(f"it is above max_memory ({most}) in {where}; raise both")
        self._calls[Path(use.file.path)].setdefault(call, {})[wish.word] = wish.value

    def _values(self) -> None:
        """The defaults of environments, for the tasks that give no size of their own."""
        texts: dict[str, str] = {}
        for (name, word), wishes in sorted(self._defaults.items()):
            most = max(wishes, key=lambda one: quantity.parse(one.value))
            where = f"environment {name}"
            try:
                before = texts.get(name) or (self._catalogue[name].folder / VALUES).read_bytes().decode()
                texts[name] = self._default(name, word, most.value, wishes, before)
            except ByHand as why:
                self._leave(where, f"resources.limits.{word}: {most.value}", str(why))
            except (PodenvError, OSError, UnicodeDecodeError) as error:
                self._leave(where, f"resources.limits.{word}: {most.value}", str(error).rstrip("."))
        for name, text in texts.items():
            file = self._catalogue[name].folder / VALUES
            self._edits.files.append(FileChange(file, file.read_bytes(), text.encode()))

    def _default(self, name: str, word: str, value: str, wishes: Sequence[_Wish], text: str) -> str:
        """The text of the values with another default. Raises `ByHand`."""
        sized = {(one.task.dag, one.task.task) for one in wishes}
        others = [
            f"{one.dag}.{one.task}"
            for one in self._found.tasks
            if one.environment == name and word not in one.given and "container_resources" not in one.given
            if (one.dag, one.task) not in sized
        ]
        if others:
            few = ", ".join(sorted(set(others))[:3])
            raise ByHand(f"it holds for {few} too, of which nothing is proposed")
        spec = self._catalogue[name].spec.resources
        limit = spec.limits.get(word)
        if limit == AUTO or (limit is not None and _equal(limit, value)):
            return text
        after = valuesedit.edited(text, ("resources", "limits", word), _yaml(value))
        request = spec.requests.get(word)
        if request is not None and _more(request, value):
            after = valuesedit.edited(after, ("resources", "requests", word), _yaml(value))
        return after

    def _source(self, path: Path) -> tuple[Source, Calls, bytes]:
        if path not in self._sources:
            before = path.read_bytes()
            source = Source(cst.parse_module(before))
            self._sources[path] = source, Calls(source), before
        return self._sources[path]

    def _leave(self, where: str, what: str, why: str) -> None:
        self._edits.left.append(Left(where, what, why))


def _place_of(use: Task) -> calledit.Place:
    """Where the name of the environment stands; ast counts the bytes of a line, libcst its characters."""
    line = use.file.lines[use.line - 1]
    return use.line, len(line.encode()[: use.column - 1].decode(errors="replace")) + 1


def _same_place(one: Task, other: Task) -> bool:
    return (one.file.path, one.line, one.column) == (other.file.path, other.line, other.column)


def _yaml(value: str) -> str:
    """A quantity that is a number is quoted, as a person writes it."""
    return f'"{value}"' if value.replace(".", "").isdigit() else value


def _equal(one: str, other: str) -> bool:
    try:
        return quantity.parse(one) == quantity.parse(other)
    except ResourceError:
        return False


def _more(one: str, other: str) -> bool:
    try:
        return quantity.parse(one) > quantity.parse(other)
    except ResourceError:
        return False
