"""The local backend: a Call, or a command, in the local virtual environment of an environment.

It isolates libraries, not users: the task has this user's rights and files.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO, TypeVar

from podenv import runtime, venv
from podenv.call import source
from podenv.call.outcome import value_of
from podenv.catalogue import quantity
from podenv.catalogue.environment import Catalogue, Environment
from podenv.errors import (
    CallError,
    Exited,
    Killed,
    LocalEnvironmentError,
    OutOfMemory,
    ProgramNotFound,
)
from podenv.exchange import keys
from podenv.exchange.calls import VARIABLE, Exchange, plain_store
from podenv.local import ahead, clusteronly, imports, variables, xcomfile
from podenv.local.child import Child
from podenv.local.clusteronly import ClusterOnly
from podenv.lock import cache
from podenv.lock.lockfile import lock_hash
from podenv.process import ended_with_parent
from podenv.runtime.call import Call, Result
from podenv.runtime.frame import FrameReader
from podenv.runtime.tagged import Refused
from podenv.usage.tally import OUT_OF_MEMORY, Tally

T = TypeVar("T")

GRACE_SECONDS = 3.0  # between SIGTERM and SIGKILL, unless the environment or the task sets it


@dataclass(frozen=True)
class Limits:
    """The most a task may use, as Kubernetes quantities; None means no limit.

    Out of ``memory``, it runs again with twice as much, up to ``max_memory``.
    """

    cpu: str | None = None
    memory: str | None = None
    max_memory: str | None = None

    @property
    def facts(self) -> str:
        """What they are, for the log."""
        given = {"cpu": self.cpu, "memory": self.memory}
        text = ", ".join(f"{name} {value}" for name, value in given.items() if value is not None)
        more = f" (up to {self.max_memory})" if self.max_memory else ""
        return f"limits {text}{more}" if text else "no limits"


class LocalRun:
    """One task in the virtual environment of ``environment``, which is made when it is not there.

    ``env`` comes over the environment's own variables; ``emit`` gets the log line by line as it is printed. ``asked``
    is what the task itself asks of a cluster; ``grace`` the seconds that it gets to end after SIGTERM. ``trace`` holds
    variables that tell the function of a trace, where neither ``env`` nor the environment has them. ``sampled``
    watches the memory without control groups. ``many``: this process runs more tasks, so that an environment with idle
    pods lets an interpreter wait for the next one.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        limits: Limits,
        env: Mapping[str, str],
        emit: Callable[[str], None],
        asked: ClusterOnly = clusteronly.NOTHING,
        grace: float | None = None,
        trace: Mapping[str, str] | None = None,
        sampled: bool = False,
        many: bool = False,
    ) -> None:
        by_cluster = clusteronly.of_environment(environment.spec)
        self._environment = environment
        self.limits = limits
        """What it may use; after a run, what it might use in the end."""
        self._env = {**environment.spec.env, **clusteronly.values_here(by_cluster, asked), **env}
        self.missing = clusteronly.sentence(by_cluster, asked, self._env)
        """What only a cluster gives it, in one line; None if nothing is missing."""
        own_grace = environment.spec.termination_grace_period_seconds if grace is None else grace
        self._grace = GRACE_SECONDS if own_grace is None else own_grace
        # They come with the Call, so that an interpreter that waits can get them too.
        self._trace = {name: value for name, value in (trace or {}).items() if name not in self._env}
        self._emit = emit
        self._sampled = sampled
        # What a task sets itself, a module may read when it is imported: it gets an interpreter of its own.
        self._may_wait = many and environment.spec.warm.is_asked_for and not env
        self._killed = False
        self._child: Child | None = None
        self._began = time.monotonic()
        self._ended: float | None = None
        self.result: Result | None = None
        """What the function brought."""
        self._peak: float | None = None
        self.tally = Tally()
        """What it took: nothing takes a process away here, and none waits for room."""

    @property
    def usage(self) -> dict[str, float]:
        """What it used, in the words of `podenv.runtime.usage`; of a command its memory alone."""
        if self.result is not None:
            return self.result.usage
        return {} if self._peak is None else {"peak_memory_bytes": self._peak}

    @property
    def where(self) -> dict[str, Any]:
        """Nothing: its process is the worker's own."""
        return {}

    @property
    def seconds(self) -> float | None:
        """How long the function ran, or else its process; None where none was started."""
        if self.result is not None:
            return self.result.seconds
        return None if self._ended is None else self._ended - self._began

    @property
    def lock(self) -> str:
        """SHA-256 of its environment's lock. Raises `LockError` if it has none."""
        return lock_hash(self._environment)

    def imports_take(self, dag: str, task: str) -> int:
        """The bytes that the imports of a task take, as `podenv check --probe` measured it here; 0 if it did not."""
        return imports.taken(self.lock, dag, task)

    @property
    def facts(self) -> str:
        """Its environment and its limits, for the log. Raises `LockError` if there is no lock."""
        environment = self._environment
        return (
            f"Environment {environment.name!r} (Python {environment.python}, lock {self.lock[:16]}), "
            f"local virtual environment; {self.limits.facts}."
        )

    def call(self, call: Call, *, discard: bool = False, ticket: Mapping[str, Any] | None = None) -> Any:
        """The value that the function returned. With ``discard`` it may be anything, and None is returned.

        With a ``ticket``, as `runtime.travel_env` takes it, a `Reference` stands for what went to storage.

        Raises `FunctionRaised`, `ResultRefused`, `OutOfMemory`, `Exited`, `Killed`; before it starts `LockError`,
        `LocalEnvironmentError`, `CallError`.
        """

        def attempt(folder: Path, limit: int | None) -> Result:
            token = secrets.token_hex(16)
            try:
                # It waits to be ended: by then all that it has started is known, and its memory is looked at once more.
                travel = runtime.travel_env(
                    call,
                    token,
                    linger=1,
                    die_with_parent=True,
                    discard=discard,
                    bytecode=str(folder / "podenv-bytecode"),
                    ticket=ticket,
                )
            except Refused as refused:
                raise CallError(f"{refused}.") from None
            self.tally.call_bytes = runtime.call_bytes(travel)
            reader = FrameReader(token, self._emit)
            code = self._run(lambda: self._interpreter(folder, travel, limit), limit, reader)
            if reader.result is None:
                raise Exited(self._environment.name, code, "It ended before the function had returned.")
            self.result = reader.result
            return reader.result

        return value_of(self._with_enough_memory(attempt), self._environment.name)

    def command(self, argv: Sequence[str], *, discard: bool = True) -> Any:
        """Run ``argv`` to its end, the environment's programs first on its PATH; the JSON that it wrote for XCom.

        As in a pod it writes that to ``/airflow/xcom/return.json``. Here a private file takes its place: the path is
        replaced in ``argv``, and the variable `xcomfile.VARIABLE` names it. None if the command wrote nothing, and with
        ``discard``. Raises `Exited` when its exit code is not 0, `OutOfMemory`, `Killed`, `ProgramNotFound`,
        `ResultRefused`.
        """
        name = self._environment.name

        def attempt(folder: Path, limit: int | None) -> Any:
            with xcomfile.folder() as own:
                variables = {**self._variables(folder), **self._trace, xcomfile.VARIABLE: str(own / xcomfile.NAME)}
                words = [self._program(argv[0], variables["PATH"]), *xcomfile.redirected(argv[1:], own)]
                started = ended_with_parent(venv.interpreter(folder), words)
                reader = FrameReader(secrets.token_hex(16), self._emit)
                code = self._run(lambda: self._start(started, variables, limit), limit, reader)
                if code != 0:
                    raise Exited(name, code, f"It was {argv[0]!r}; the log holds what it said.")
                return None if discard else xcomfile.value(own, name)

        return self._with_enough_memory(attempt)

    def _program(self, name: str, path: str) -> str:
        program = shutil.which(name, path=path)
        if program is None:
            raise ProgramNotFound(
                f"{name} is neither in environment {self._environment.name!r} nor on PATH; add the package that brings "
                f"it to {self._environment.requirements_in}, or install it on this machine."
            )
        return program

    def kill(self) -> None:
        """End the task's whole process tree, SIGTERM first; `call` then raises `Killed`.

        May be called in another thread, in a signal handler, and more than once.
        """
        self._killed = True
        if (child := self._child) is not None:
            child.end(self._grace)

    def _with_enough_memory(self, attempt: Callable[[Path, int | None], T]) -> T:
        """``attempt``, again with twice the memory as often as it is out of it and ``max_memory`` allows."""
        limit, largest = (
            None if text is None else quantity.to_bytes(text) for text in (self.limits.memory, self.limits.max_memory)
        )
        with venv.held(self._environment, log=self._emit) as folder:
            while True:
                try:
                    return attempt(folder, limit)
                except OutOfMemory as error:
                    if limit is None or largest is None or limit >= largest:
                        raise
                    limit = min(2 * limit, largest)
                    self.tally.relaunches[OUT_OF_MEMORY] += 1
                    self.limits = replace(self.limits, memory=quantity.of_bytes(limit))
                    self._emit(
                        f"Out of memory at the limit of {error.limit}; running again with {self.limits.memory} "
                        f"(max_memory is {self.limits.max_memory})."
                    )

    def _interpreter(self, folder: Path, travel: Mapping[str, str], limit: int | None) -> Child:
        """One that makes the Call ``travel``: it waited, or it is started now."""
        variables, imports = self._variables(folder), self._environment.spec.warm.imports
        travel = {**travel, **self._trace}
        child = None
        if self._may_wait:
            child = ahead.take(folder, variables, imports, call=travel, limit=limit, log=self._emit)
        if child is not None:
            self.tally.launches["idle"] += 1
        else:
            argv = runtime.command_here(str(venv.interpreter(folder)))
            child = self._start(argv, {**variables, **travel}, limit)
        if self._may_wait:
            ahead.start(folder, variables, imports, sampled=self._sampled)
        return child

    def _start(self, argv: Sequence[str], env: Mapping[str, str], limit: int | None) -> Child:
        child = Child(argv, env=env, limit=limit, sampled=self._sampled)
        self.tally.launches["new"] += 1
        return child

    def _run(self, start: Callable[[], Child], limit: int | None, reader: FrameReader) -> int:
        """Follow what ``start`` starts to its end or to its result."""
        name = self._environment.name
        self._began = time.monotonic()
        try:
            child = start()
        except OSError as error:
            raise LocalEnvironmentError(
                f"The task in environment {name!r} cannot be started: {error.strerror}."
            ) from None
        with child:
            self._child = child
            try:
                out_of_memory = False if self._killed else child.follow(reader)
            finally:
                self._child, self._ended, self._peak = None, time.monotonic(), child.peak
        if self._killed:
            raise Killed(f"The task in environment {name!r} was ended from outside; none of its processes is left.")
        if out_of_memory:
            raise OutOfMemory(name, "" if limit is None else quantity.of_bytes(limit), self._memory_hint())
        return child.code or 0

    def _memory_hint(self) -> str:
        if self.limits.memory is None:
            return "Let it hold less at a time, or give it a memory limit that this machine has room for."
        which = "max_memory" if self.limits.max_memory else "memory"
        return f"Raise the task's {which}, or let it hold less at a time."

    def _variables(self, folder: Path) -> dict[str, str]:
        """The task's environment variables."""
        own = {**variables.of_machine(self.limits.cpu), **self._env}
        return {**own, **variables.of_venv(folder, self._env.get("PATH"))}


def run_in_env(name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """`podenv.run_in_env` where there is no Airflow: what the function prints goes to stdout.

    Raises what `LocalRun.call` raises, and what is wrong with the name, the function or its arguments.
    """
    environment = Catalogue.of_function(function)[name]
    call = source.build_call(function, args, kwargs, python=environment.python)
    most = environment.resources.limits
    limits = Limits(cpu=most.get("cpu"), memory=most.get("memory"))
    run = LocalRun(environment, limits=limits, env={}, emit=lambda line: _print(line, sys.stdout), many=True)
    if run.missing:
        _print(run.missing, sys.stderr)
    address = os.environ.get(VARIABLE) or exchange_folder().as_uri()
    exchange = Exchange(plain_store(address), keys.of_call(function))
    return exchange.found(run.call(call, ticket=exchange.ticket(call)))


def exchange_folder() -> Path:
    """Where values are that are too much for XCom, unless a store is set: a folder in the user's cache."""
    return cache.folder() / "exchange"


def _print(line: str, stream: TextIO) -> None:
    stream.write(f"{line}\n")
    stream.flush()
