"""Every exception of podenv.

    PodenvError
    ├── InvalidName             a name that Kubernetes would refuse
    ├── ValuesError             a values file: file, path of the key, why
    ├── CatalogueNotFound       podenv finds no envs/ folder
    ├── UnknownEnvironment      not in the catalogue
    ├── EnvironmentExists       cannot be made a second time
    ├── ProjectFileRefused      a file that a project starts with cannot be made or added to
    ├── ProgramError            a program could not start, failed or ran too long
    │   ├── ProgramNotFound
    │   ├── ProgramUnsupported  another version of it is needed
    │   ├── ProgramFailed
    │   └── ProgramTimedOut
    ├── LockError               requirements.in -> requirements.txt
    │   ├── RequirementsMissing
    │   ├── RequirementsInvalid
    │   ├── PackageUnusable     a package of the project's own that cannot be built in
    │   ├── LockMissing
    │   ├── LockStale
    │   └── ResolutionFailed
    ├── LocalEnvironmentError   a local virtual environment cannot be made
    │   └── PythonNotFound
    ├── NotAgreed               a command needs an answer, and there is no terminal to ask on
    ├── CheckImpossible         a part of `podenv check` could not be done
    ├── CertainToFail           tasks that are certain to fail, as `podenv check` knows
    ├── DagsUnreadable          DAG files that Airflow cannot import
    ├── DagFileInvalid          a DAG file that cannot be read, parsed or written
    ├── UnknownDag              no DAG of that name in the folder
    ├── AirflowApiError         Airflow's REST API cannot be read: unreachable, a login is wanted, no such DAG
    ├── ImageError              building, finding or checking an image
    │   ├── BuilderNotFound
    │   ├── BuildFailed
    │   ├── ImageMissing
    │   ├── ImageUnusable
    │   └── RegistryError       podenv cannot tell if the registry has an image, or cannot push one
    │       ├── RegistryUnreachable
    │       ├── RegistryRefused
    │       └── RegistryLoginNeeded
    ├── ReleaseError            Helm, the cluster or a release of an environment
    │   ├── HelmUnsupported
    │   ├── NoCluster           no kubeconfig, or its API server does not answer
    │   ├── AccessRefused       RBAC: which verb on which object
    │   ├── ValuesRefused       the chart's schema, or the chart itself, refuses the values
    │   ├── AdmissionRefused    the API server, or a policy, refuses an object
    │   ├── QuotaRefused
    │   ├── ImageNotPulled      the nodes cannot pull the image
    │   ├── ReleaseTimedOut
    │   ├── ReleaseBusy         somebody else deploys it
    │   ├── ReleaseMissing
    │   ├── ReleaseForeign      the release of that name is of another chart
    │   ├── Conflict            somebody else changed an object at the same time
    │   └── ReleaseTestFailed
    ├── PlanNotWritten
    ├── AdvisoryInvalid         neither a package nor a record of OSV
    ├── SettingError            a podenv setting has a value that is not valid
    ├── StoreUnreachable        the store of values does not answer, or refuses the credentials
    ├── AirflowUnsupported      the installed Airflow lacks what podenv needs of it
    ├── ResourceError           a cpu, memory or gpu that makes no sense, or a request above its limit
    ├── SourceError             the function cannot be sent to another environment
    │   └── SourceChanged       its file has changed since it was loaded
    ├── CallError               its arguments cannot be sent, or are too large
    └── TaskFailure             the call was started and brought no result
        ├── FunctionRaised
        ├── ResultRefused
        ├── ExchangeRefused     an argument in storage cannot be what its parameter asks for
        ├── StorageError        a value did not reach storage, or did not come from there
        ├── OutOfMemory
        ├── Exited
        ├── Killed
        └── PodFailure          the pod did not start, or went away
            ├── NotDeployed
            ├── ImageUnavailable
            ├── Unschedulable
            ├── QuotaExceeded
            ├── StartTimedOut
            ├── DeadlinePassed
            ├── DiskExceeded
            ├── PodRefused
            ├── PodNameTaken
            ├── PodLost
            └── ClusterUnreachable

Every message is one line: what happened, where, why, and what to do next. ``TaskFailure.retry`` says whether trying
again can help.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from signal import Signals

_CRASHES = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGSYS", "SIGTRAP")


def nearest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the known name closest to ``name``; an empty text where none is close."""
    match = get_close_matches(name, list(known), n=1)
    return f" Did you mean {match[0]!r}?" if match else ""


class PodenvError(Exception):
    """What podenv raises; the message is one line that ends with the remedy."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and copy without ``__init__``, which takes other arguments than the message that it makes.

        Exception's own way calls it with ``args``, and then a process pool hangs: python/cpython#103061.
        """
        return _remade, (type(self), self.args), self.__dict__


def _remade(kind: type[PodenvError], args: tuple[object, ...]) -> PodenvError:
    error = kind.__new__(kind)
    error.args = args
    return error


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
    """podenv finds no ``envs/`` folder."""


class UnknownEnvironment(PodenvError):
    """``name`` is not in the catalogue at ``catalogue``; ``remedy`` says how to get it there."""

    def __init__(self, name: str, catalogue: Path | str, known: Sequence[str], *, remedy: str = "") -> None:
        self.name = name
        self.catalogue = catalogue
        hint = nearest(name, known) or (f" It has: {', '.join(known)}." if 0 < len(known) <= 10 else "")
        super().__init__(
            f"There is no environment {name!r} in {catalogue}.{hint} "
            + (remedy or f"`podenv list` shows all, `podenv new {name} --python X.Y` makes it.")
        )


class EnvironmentExists(PodenvError):
    """There is an environment, or another file, of that name already."""


class ProjectFileRefused(PodenvError):
    """A file that a project starts with cannot be made, or lines cannot be added to it."""


class ProgramError(PodenvError):
    """A program could not start, failed, or ran too long."""


class ProgramNotFound(ProgramError):
    """A program that is needed is not on this machine."""


class ProgramUnsupported(ProgramError):
    """A program is on this machine in a version that podenv cannot use."""


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
    """The environment has no ``requirements.in``, or a file that it includes is missing."""


class RequirementsInvalid(LockError):
    """A line of ``requirements.in``, or of a file that it includes, that cannot be locked."""


class PackageUnusable(LockError):
    """A package of the project's own (``packages`` in the values) that cannot be built into a wheel."""


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


class NotAgreed(PodenvError):
    """A command needs an answer first, and there is no terminal to ask on."""


class CheckImpossible(PodenvError):
    """A part of `podenv check` could not be done."""


class PlanNotWritten(PodenvError):
    """A plan cannot be written where it should be, or would change what a person wrote."""


class CertainToFail(PodenvError):
    """Tasks whose code or limits are certain to fail in their environment."""


class AdvisoryInvalid(PodenvError):
    """What is asked about is neither a package with versions nor a record of OSV."""


class DagsUnreadable(PodenvError):
    """Airflow cannot import ``errors``: file -> why, one line each."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        self.errors = dict(errors)
        super().__init__("; ".join(f"{file}: {why}" for file, why in sorted(errors.items())))


class DagFileInvalid(PodenvError):
    """A DAG file cannot be read, does not parse, or cannot be written; nothing of it was changed."""


class UnknownDag(PodenvError):
    """The folder has no DAG ``dag_id``."""

    def __init__(self, dag_id: str, folder: Path, known: Sequence[str]) -> None:
        self.dag_id = dag_id
        hint = nearest(dag_id, known) or (f" It has: {', '.join(known)}." if known else " It has none.")
        super().__init__(f"There is no DAG {dag_id!r} in {folder}.{hint}")


class AirflowApiError(PodenvError):
    """Airflow's REST API is not reached, wants a login, or does not have what is asked for."""


class ImageError(PodenvError):
    """Something is wrong with an image."""


class BuilderNotFound(ImageError):
    """No program that builds images works here."""


class BuildFailed(ImageError):
    """The image of ``environment`` could not be built; ``log`` holds all that the builder said."""

    def __init__(self, environment: str, why: str, log: Path) -> None:
        self.environment = environment
        self.log = log
        super().__init__(f"The image of {environment!r} could not be built: {why}. The whole log: {log}")


class ImageMissing(ImageError):
    """The image is neither in the registry nor on this machine."""


class ImageUnusable(ImageError):
    """The image is there, but no Python could be started in it."""


class RegistryError(ImageError):
    """podenv cannot tell if an image is in the registry, or cannot push it there."""


class RegistryUnreachable(RegistryError):
    """The registry does not answer."""


class RegistryRefused(RegistryError):
    """The registry answered, and refused."""


class RegistryLoginNeeded(RegistryError):
    """The registry does not accept the credentials, or there are none."""


class ReleaseError(PodenvError):
    """Something is wrong with Helm, with the cluster, or with an environment's release."""


class HelmUnsupported(ReleaseError):
    """The helm program that was found is too old or too new."""


class NoCluster(ReleaseError):
    """There is no kubeconfig, or the API server that it names does not answer."""


class AccessRefused(ReleaseError):
    """RBAC does not allow it; the message holds the verb and the object."""


class ValuesRefused(ReleaseError):
    """The chart refuses the values: its schema, or a check of its own."""


class AdmissionRefused(ReleaseError):
    """The API server or an admission policy refuses an object of the release."""


class QuotaRefused(ReleaseError):
    """The namespace's quota has no room for an object of the release."""


class ImageNotPulled(ReleaseError):
    """Nodes cannot pull the image before the first task needs it."""


class ReleaseTimedOut(ReleaseError):
    """The release was not ready in time; the message holds the events that explain it."""


class ReleaseBusy(ReleaseError):
    """Somebody else is changing the release; the message says who."""


class ReleaseMissing(ReleaseError):
    """The environment has no release, or its release has no such revision or no idle pods."""


class ReleaseForeign(ReleaseError):
    """The release of that name was made from another chart than podenv's; podenv does not touch it."""


class Conflict(ReleaseError):
    """The object is there already, or somebody else has changed it since it was read."""


class ReleaseFilesInvalid(ReleaseError):
    """The folder of manifests, or its list of images, cannot be read or written."""


class ReleaseTestFailed(ReleaseError):
    """The release's test pod failed; ``log`` is what it printed."""

    def __init__(self, message: str, log: str = "") -> None:
        self.log = log
        super().__init__(message)


class SettingError(PodenvError):
    """A podenv setting has a value that is not valid."""


class StoreUnreachable(PodenvError):
    """The store of values cannot be read, written or signed for."""

    def __init__(self, store: str, why: str) -> None:
        super().__init__(
            f"The store {store} cannot be used: {why.rstrip('.')}. "
            "Check its Connection and its address ([podenv] exchange)."
        )


class AirflowUnsupported(PodenvError):
    """The installed Airflow, or its Kubernetes provider, lacks ``missing``: it is too new or too old."""

    def __init__(self, versions: str, missing: Sequence[str]) -> None:
        self.missing = list(missing)
        super().__init__(
            f"podenv cannot run with {versions}, which has no {', '.join(missing)}; "
            "install versions that podenv's documentation names (Compatibility)."
        )


class ResourceError(PodenvError):
    """A cpu, memory or gpu that makes no sense, or a request above its limit."""


class SourceError(PodenvError):
    """The function cannot be sent to another environment."""


class SourceChanged(SourceError):
    """The function's file has changed since the function was loaded; trying again loads what it holds now."""


class CallError(PodenvError):
    """The arguments cannot be sent to another environment, or the call is too large."""


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = Signals(-code).name if -code in {*Signals} else f"signal {-code}"
    return f"crashed with {name}" if name in _CRASHES else f"was ended by {name}"


class TaskFailure(PodenvError):
    """The call was started and brought no result; ``retry`` says whether trying again can help."""

    retry = True


class _RemoteTraceback(Exception):
    """Brings the other environment's traceback into every log that shows the error, as multiprocessing does."""

    def __str__(self) -> str:
        return "\n" + str(self.args[0]).rstrip("\n")


class FunctionRaised(TaskFailure):
    """The user's function raised.

    ``type`` is the exception's type with its module, as it was named there, ``bases`` those that it derives from;
    ``remote_message`` its message; ``remote_traceback`` the traceback in the other environment, for the log.
    """

    def __init__(self, environment: str, type: str, message: str, traceback: str, bases: Sequence[str] = ()) -> None:
        self.environment = environment
        self.type = type
        self.bases = tuple(bases)
        self.remote_message = message
        self.remote_traceback = traceback
        super().__init__(f"The function raised {type} in environment {environment!r}: {message}")
        self.__cause__ = _RemoteTraceback(traceback)

    def __setstate__(self, state: dict[str, object] | None) -> None:
        """Give a copy its cause, which does not travel with an exception."""
        super().__setstate__(state)
        self.__cause__ = _RemoteTraceback(self.remote_traceback)


class ResultRefused(TaskFailure):
    """The function returned what XCom cannot keep, or more than a result may hold."""

    retry = False


class ExchangeRefused(TaskFailure):
    """An argument is in storage, and the function cannot get it: its parameter or its environment does not fit."""

    retry = False


class StorageError(TaskFailure):
    """A value could not be brought to storage or fetched from there; ``retry``: the storage may work again."""

    def __init__(self, message: str, *, retry: bool = True) -> None:
        self.retry = retry
        super().__init__(message)


class OutOfMemory(TaskFailure):
    """The task needed more memory than ``limit`` (a Kubernetes quantity); where that is empty, than its machine has."""

    def __init__(self, environment: str, limit: str, hint: str) -> None:
        self.environment = environment
        self.limit = limit
        most = f"its limit of {limit}" if limit else "its machine has"
        super().__init__(f"Out of memory in environment {environment!r}: it needed more than {most}. {hint}")


class Exited(TaskFailure):
    """The process ended (``sys.exit``, ``os._exit``, a crash, a command that failed) before the function had returned.

    ``code`` is its exit code; negative for a signal, as in `subprocess`. ``asked``: the function gave it to
    ``sys.exit``, and ``why`` says so.
    """

    def __init__(self, environment: str, code: int, why: str, *, asked: bool = False) -> None:
        self.environment = environment
        self.code = code
        how = "" if asked else f"the process {_how_it_ended(code)}. "
        super().__init__(f"In environment {environment!r} {how}{why}")

    @property
    def codes(self) -> set[int]:
        """``code``, and where it is a signal also what a shell calls it (SIGKILL: -9 and 137)."""
        return {self.code, 128 - self.code if self.code < 0 else self.code}


class Killed(TaskFailure):
    """The task was ended from outside (SIGTERM, a timeout); its processes are gone."""


class PodFailure(TaskFailure):
    """The pod could not be started, or went away; the message holds the cluster's own words."""


class NotDeployed(PodFailure):
    """The environment has no release where the task looks for it."""

    retry = False


class ImageUnavailable(PodFailure):
    """The image is not in the registry, its reference is wrong, or it has no Python."""

    retry = False


class Unschedulable(PodFailure):
    """No node took the pod in time."""


class QuotaExceeded(PodFailure):
    """The namespace's quota has no room for the pod."""


class StartTimedOut(PodFailure):
    """The container did not start in time."""


class DeadlinePassed(PodFailure):
    """The pod lived longer than its activeDeadlineSeconds."""


class DiskExceeded(PodFailure):
    """The task wrote more than its ephemeral storage, or a volume's size limit, allows."""

    retry = False


class PodRefused(PodFailure):
    """The API server refused the pod: a policy, a missing permission, or a pod that is invalid."""

    retry = False


class PodNameTaken(PodFailure):
    """Another pod has the name that the task gives to its own."""


class PodLost(PodFailure):
    """The pod was evicted, preempted, deleted by somebody else, or its node is gone."""


class ClusterUnreachable(PodFailure):
    """The API server did not answer for longer than a task waits."""
