"""uv says if one lock can satisfy a demand: asked as `podenv lock` asks it, from its cache where that is enough."""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name

from podenv import causes
from podenv.catalogue.environment import Environment
from podenv.errors import ProgramFailed, ProgramTimedOut
from podenv.lock import compiling, requirements
from podenv.plan import demand as demands
from podenv.plan import memory
from podenv.plan.demand import Basis, Demand
from podenv.plan.memory import Answer, Memory

_LIMITS = "limits.txt"
_SENTENCE_LENGTH = 500  # characters of a sentence of uv's, which may list hundreds of versions
# What uv may be right about for ever; all else it says may be another answer tomorrow, or with a network.
_REFUSALS = ("versions", "wheel")
_NO_NETWORK = ("network", "offline")


class Oracle:
    """Answers for one catalogue; threads can share it. Where the index cannot be reached, uv's cache answers alone."""

    def __init__(self, *, forget: bool = False, on_ask: Callable[[], None] = lambda: None) -> None:
        self._memories: dict[Basis, Memory] = {}
        self._lock = threading.RLock()
        self._forget = forget
        self._on_ask = on_ask
        self.asked = 0
        self.unreachable = ""
        """What uv said when it could not reach an index; empty where that has not happened."""

    def ask(self, subject: Environment, demand: Demand, *, online: bool = False) -> Answer:
        """The answer for an environment like ``subject`` with this ``demand``.

        ``online``: the index is to be asked, unless it was today. Raises `ProgramNotFound`.
        """
        known = self.memory(subject)
        with self._lock:
            found = known.answers.get(demand) if online else known.find(demand)
        if found is not None and found.verdict != "unknown" and (found.is_online or not online):
            return found
        answer = None if online else self._solve(subject, demand, options=["--offline"])
        if answer is None or answer.verdict == "unknown":
            answer = self._online(subject, demand)
        with self._lock:
            known.keep(demand, answer)
        return answer

    def follows(self, subject: Environment, demand: Demand, parts: Sequence[tuple[Demand, Answer]]) -> Answer | None:
        """The answer that needs no question: ``parts`` fit, and pin what they have in common alike."""
        pins: dict[str, set[str]] = {}
        for part, answer in parts:
            if answer.verdict != "fits" or not answer.pins:
                return None
            for name, entries in _by_name(answer.pins).items():
                if pins.setdefault(name, entries) != entries:
                    return None
            foreign = {demands.name(one) for one in demand.limits - part.limits}
            if foreign & _by_name(answer.pins).keys():
                return None
        answer = Answer("fits", tuple(sorted(pin for entries in pins.values() for pin in entries)))
        with self._lock:
            self.memory(subject).keep(demand, answer)
        return answer

    def memory(self, subject: Environment) -> Memory:
        """What is known for environments like ``subject``."""
        basis = demands.basis(subject)
        with self._lock:
            if basis not in self._memories:
                found = memory.load(basis)
                self._memories[basis] = Memory(found.file) if self._forget else found
            return self._memories[basis]

    def save(self) -> None:
        """Keep the answers for the next plan of today."""
        for one in self._memories.values():
            one.save()

    def solve(self, subject: Environment, demand: Demand, *, prefer: bytes = b"") -> Answer:
        """The same without memory: with the newest versions, or those of the lock ``prefer`` where they still fit."""
        return self._solve(subject, demand, prefer=prefer)

    def _online(self, subject: Environment, demand: Demand) -> Answer:
        if self.unreachable:  # each attempt takes as long as a network that does not answer
            return Answer("unknown", words=self.unreachable)
        answer = self._solve(subject, demand)
        if answer.verdict == "unknown" and causes.find(causes.UV, answer.words).kind in _NO_NETWORK:
            self.unreachable = answer.words
        return replace(answer, is_online=answer.verdict != "unknown")

    def _solve(
        self, subject: Environment, demand: Demand, *, options: Sequence[str] = (), prefer: bytes = b""
    ) -> Answer:
        self.asked += 1
        self._on_ask()
        with tempfile.TemporaryDirectory(prefix="podenv-plan-") as folder:
            asking = _laid_out(subject, demand, Path(folder), prefer)
            scratch = Path(folder, ".uv")
            scratch.mkdir()
            try:
                body = compiling.solve(asking, [asking.requirements_in.name, *options], scratch)
            except ProgramFailed as error:
                return _refused(error.stderr)
            except ProgramTimedOut as error:
                return Answer("unknown", words=str(error))
        return Answer("fits", tuple(sorted(_pins(body))))


def suspects(words: str, lines: Sequence[str]) -> list[str]:
    """Those of ``lines`` whose package is named in what uv said of a clash."""
    said = {canonicalize_name(word) for word in re.findall(r"[A-Za-z0-9][A-Za-z0-9._-]*", words)}
    said |= {canonicalize_name(word.rstrip("._-")) for word in said}
    return [line for line in lines if demands.name(line) in said]


def conclusion(words: str) -> str:
    """The last two sentences of what uv said, where it concludes; its hints are left out, and long lists cut."""
    chain = re.split(r"\n+hint: ", words.strip())[0].replace("No solution found when resolving dependencies", "")
    chain = re.sub(r"^.*?cause: ", "", chain.strip(), flags=re.DOTALL) if "cause: " in chain else chain
    sentences = [" ".join(one.split()) for one in re.split(r"\n\s*(?=And |Because )", chain) if one.strip()]
    return "\n".join(one if len(one) <= _SENTENCE_LENGTH else f"{one[:_SENTENCE_LENGTH]} ..." for one in sentences[-2:])


def _refused(words: str) -> Answer:
    words = words.strip().removeprefix("error: ")
    decisive = causes.find(causes.UV, words).kind in _REFUSALS and "No solution found" in words
    return Answer("clashes" if decisive else "unknown", words=words)


def _laid_out(subject: Environment, demand: Demand, folder: Path, prefer: bytes) -> Environment:
    """An environment like ``subject`` in a folder of its own, which asks for ``demand``."""
    spec = subject.spec.model_copy(update={"source": None, "packages": []})
    asking = replace(subject, name="plan", folder=folder, spec=spec)
    options = [f"--no-binary {one}" for one in sorted(demand.from_source)]
    if demand.limits:
        options.append(f"-c {_LIMITS}")
        (folder / _LIMITS).write_text("".join(f"{one}\n" for one in sorted(demand.limits)))
    asking.requirements_in.write_text("".join(f"{one}\n" for one in [*sorted(demand.lines), *options]))
    if prefer:
        asking.lock_file.write_bytes(prefer)
    return asking


def _pins(body: str) -> list[str]:
    found = []
    for _, line in requirements.logical_lines(body):
        with suppress(InvalidRequirement):
            found.append(str(requirements.parse(line)))
    return found


def _by_name(pins: Sequence[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for pin in pins:
        found.setdefault(demands.name(pin), set()).add(pin)
    return found
