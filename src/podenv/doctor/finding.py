"""What a check finds, and how checks are run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from queue import Empty, Queue

from podenv.errors import PodenvError

ALL_CHECKS_SECONDS = 15.0  # for all checks together: they run side by side


class State(Enum):
    """What a check says: it works; look at it; it does not work, and is needed; it is not needed here."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """What a check found; where the state is not OK, ``text`` ends with the remedy."""

    check: str
    state: State
    text: str


class NotHere(Exception):
    """A check says nothing here; the message says why."""


class CheckFailed(Exception):
    """Something that is needed is missing or does not work; the message ends with the remedy."""


@dataclass(frozen=True)
class Check:
    """A check: its name, and what returns OK or WARNING with a text, or raises `CheckFailed` or `NotHere`."""

    name: str
    look: Callable[[], tuple[State, str]]


def run(checks: Iterable[Check], *, limit: float = ALL_CHECKS_SECONDS) -> list[Finding]:
    """All findings in the order of the checks; one that is not done in ``limit`` seconds has failed.

    Its thread is left behind, and ends with the process.
    """
    checks = list(checks)
    answers: Queue[Finding | Exception] = Queue()
    for check in checks:
        threading.Thread(target=lambda one: answers.put(_look(one)), args=(check,), daemon=True).start()
    end = time.monotonic() + limit
    found: dict[str, Finding] = {}
    while len(found) < len(checks):
        try:
            finding = answers.get(timeout=max(0.0, end - time.monotonic()))
        except Empty:
            break
        if isinstance(finding, Exception):  # a bug
            raise finding
        found[finding.check] = finding
    late = f"no answer within {limit:g} s; try it by hand, or look at the network"
    return [found.get(check.name) or Finding(check.name, State.FAILED, late) for check in checks]


def _look(check: Check) -> Finding | Exception:
    try:
        state, text = check.look()
    except NotHere as why:
        return Finding(check.name, State.SKIPPED, str(why))
    except (CheckFailed, PodenvError) as error:
        return Finding(check.name, State.FAILED, str(error))
    except Exception as error:  # noqa: BLE001 - shown by the thread that waits
        return error
    return Finding(check.name, state, text)
