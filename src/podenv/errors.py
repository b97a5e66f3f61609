"""Every exception of podenv.

    PodenvError
    ├── InvalidName             a name that Kubernetes would refuse
    ├── ValuesError             a values file: file, path of the key, why
    ├── CatalogueNotFound       no envs/ folder where one is looked for
    ├── UnknownEnvironment      not in the catalogue
    ├── ProgramError            a program could not start, failed or ran too long
    │   ├── ProgramNotFound
    │   ├── ProgramFailed
    │   └── ProgramTimedOut
    ├── LockError               requirements.in -> requirements.txt
    │   ├── RequirementsMissing
    │   ├── LockMissing
    │   ├── LockStale
    │   └── ResolutionFailed
    ├── LocalEnvironmentError   a local virtual environment cannot be made
    │   └── PythonNotFound
    ├── SettingError            a podenv setting has a value it cannot have
    ├── ResourceError           a cpu, memory or gpu that is no Kubernetes quantity, or a request above its limit
    ├── SourceError             the function cannot be sent to another environment
    ├── CallError               its arguments cannot be sent, or are too large
    └── TaskFailure             the call was started and brought no result
        ├── FunctionRaised
        ├── ResultRefused
        ├── OutOfMemory
        ├── Exited
        └── Killed

Every message is one line: what happened, where, why, and what to do next. ``TaskFailure.retry`` says whether trying
again can help.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path


def nearest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the known name closest to ``name``; an empty text where none is close."""
    match = get_close_matches(name, list(known), n=1)
    return f" Did you mean {match[0]!r}?" if match else ""


class PodenvError(Exception):
    """What podenv raises; the message is one line that ends with the remedy."""


class InvalidName(PodenvError):
    """A name that Kubernetes would refuse."""


class ValuesError(PodenvError):
    """A values file is wrong: ``file``, the ``key`` as a dotted path (empty for the whole file) and ``why``."""

    def __init__(self, file: Path, key: str, why: str) -> None:
        self.file = file
        self.key = key
        self.why = why
        super().__init__(f"{file}: {key}: {why}" if key else f"{file}: {why}")


class CatalogueNotFound(PodenvError):
    """There is no ``envs/`` folder where one is looked for."""


class UnknownEnvironment(PodenvError):
    """``name`` is not in the catalogue at ``catalogue``."""

    def __init__(self, name: str, catalogue: Path, known: Sequence[str]) -> None:
        self.name = name
        self.catalogue = catalogue
        hint = nearest(name, known) or (f" It has: {', '.join(known)}." if 0 < len(known) <= 10 else "")
        super().__init__(
            f"There is no environment {name!r} in {catalogue}.{hint} "
            f"`podenv list` shows all, `podenv new {name} --python X.Y` makes it."
        )


class ProgramError(PodenvError):
    """A program could not start, failed, or ran too long."""


class ProgramNotFound(ProgramError):
    """A program that is needed is not on this machine."""


class ProgramFailed(ProgramError):
    """A program ended with ``returncode``; ``stderr`` holds the end of what it said."""

    def __init__(self, program: str, returncode: int, stderr: str) -> None:
        self.program = program
        self.returncode = returncode
        self.stderr = stderr
        super().__init__(f"{program} ended with exit code {returncode}: {stderr.strip() or 'it said nothing'}")


class ProgramTimedOut(ProgramError):
    """A program did not end within its time and was ended."""


class LockError(PodenvError):
    """Something is wrong between ``requirements.in`` and ``requirements.txt``."""


class RequirementsMissing(LockError):
    """The environment has no ``requirements.in``."""


class LockMissing(LockError):
    """The environment has no lock yet."""


class LockStale(LockError):
    """The lock is not what ``requirements.in`` and the values ask for."""


class ResolutionFailed(LockError):
    """The resolver found no set of versions; the message ends with its own explanation (several lines)."""


class LocalEnvironmentError(PodenvError):
    """A local virtual environment could not be made."""


class PythonNotFound(LocalEnvironmentError):
    """No interpreter of the version that the environment names."""


class SettingError(PodenvError):
    """A podenv setting has a value it cannot have."""


class ResourceError(PodenvError):
    """A cpu, memory or gpu that is no Kubernetes quantity, or a request above its limit."""


class SourceError(PodenvError):
    """The function cannot be sent to another environment."""


class CallError(PodenvError):
    """The arguments cannot be sent to another environment, or the call is too large."""


class TaskFailure(PodenvError):
    """The call was started and brought no result; ``retry`` says whether trying again can help."""

    retry = True


class FunctionRaised(TaskFailure):
    """The user's function raised.

    ``type`` is the exception's type with its module, as it was named there; ``remote_message`` its message;
    ``remote_traceback`` the traceback in the other environment, for the log.
    """

    def __init__(self, environment: str, type: str, message: str, traceback: str) -> None:
        self.environment = environment
        self.type = type
        self.remote_message = message
        self.remote_traceback = traceback
        super().__init__(f"The function raised {type} in environment {environment!r}: {message}")


class ResultRefused(TaskFailure):
    """The function returned what XCom cannot keep, or more than a result may hold."""

    retry = False


class OutOfMemory(TaskFailure):
    """The task needed more memory than ``limit`` (a Kubernetes quantity)."""

    def __init__(self, environment: str, limit: str, hint: str) -> None:
        self.environment = environment
        self.limit = limit
        super().__init__(
            f"Out of memory in environment {environment!r}: it needed more than its limit of {limit}. {hint}"
        )


class Exited(TaskFailure):
    """The environment's Python ended (``sys.exit``, ``os._exit``, a crash) before the function had returned."""


class Killed(TaskFailure):
    """The task was ended from outside (SIGTERM, a timeout); its processes are gone."""
