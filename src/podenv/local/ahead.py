"""Interpreters that wait for their task: one for each environment that keeps idle pods on a cluster.

A process that runs many tasks starts it ahead. A task takes it, runs in it alone, and it ends with the task.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from podenv import runtime, venv
from podenv.call import warm
from podenv.local.child import Child
from podenv.runtime.warm import IMPORTS


@dataclass(frozen=True)
class _Waiting:
    child: Child
    variables: Mapping[str, str]
    imports: Sequence[str]
    pid: int
    """The process that started it: a fork of that one neither uses nor ends it."""


_lock = threading.Lock()
_waiting: dict[Path, _Waiting] = {}
_broken: set[Path] = set()  # where one has ended by itself: the next would too


def start(folder: Path, variables: Mapping[str, str], imports: Sequence[str], *, sampled: bool) -> None:
    """Let an interpreter of the virtual environment ``folder`` wait for a task with ``variables``, if none does."""
    with _lock:
        if folder in _broken or _own(folder) is not None:
            return
        argv = runtime.command_here(str(venv.interpreter(folder)), waits=True)
        env = {**variables, IMPORTS: json.dumps(list(imports))}
        try:
            child = Child(argv, env=env, sampled=sampled, waits=True)
        except OSError:
            return  # the next task starts its own, and says what is wrong
        if not _waiting:
            atexit.register(end_all)
        _waiting[folder] = _Waiting(child, dict(variables), list(imports), os.getpid())


def take(
    folder: Path,
    variables: Mapping[str, str],
    imports: Sequence[str],
    *,
    call: Mapping[str, str],
    limit: int | None,
    log: Callable[[str], None],
) -> Child | None:
    """The interpreter that waits in ``folder``, now with the task: ``call`` is what `runtime.travel_env` gave.

    None where there is none, where it was started with other variables or imports, and where it has ended; ``log``
    hears why it has.
    """
    with _lock:
        found = _own(folder)
        if found is None:
            return None
        del _waiting[folder]
    if (found.variables, found.imports) == (dict(variables), list(imports)):
        message = warm.message({name: value for name, value in call.items() if name != warm.RUNTIME})
        if found.child.hand_over(message, limit):
            log("An interpreter that waited took the task.")
            return found.child
        _broken.add(folder)
        log(f"The interpreter that waited has ended ({found.child.last_words()}): from now on none waits.")
    found.child.close()
    return None


def end_all() -> None:
    """End those that this process has started."""
    with _lock:
        own = [folder for folder in _waiting if _own(folder) is not None]
        ended = [_waiting.pop(folder) for folder in own]
    for one in ended:
        one.child.close()


def _own(folder: Path) -> _Waiting | None:
    found = _waiting.get(folder)
    return found if found is not None and found.pid == os.getpid() else None
