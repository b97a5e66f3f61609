"""`podenv.env` as type checkers and editors see it. A stub alone: no DAG file pays for it.

The decorated function keeps its parameters. Its call returns an `XComValue`: an XCom argument that may stand for every
parameter of another task, since Airflow resolves it before that task runs.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, ParamSpec, Protocol, TypeVar

from airflow.sdk import XComArg
from kubernetes.client import V1EnvVar, V1ResourceRequirements

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", covariant=True)

class XComValue(XComArg, Any):  # type: ignore[misc]  # Any on purpose, see below
    """What a task returns. It derives from Any, because it stands for whatever type the next task takes."""

    def __getitem__(self, key: str | int) -> XComValue: ...

class EnvTask(Protocol[P, R]):
    """A function that runs as a task in an environment."""

    @property
    def function(self) -> Callable[P, R]: ...
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> XComValue:
        """Make a task of it, with these arguments."""
    def override(self, **kwargs: Any) -> EnvTask[P, R]:
        """The same function with other arguments of the task, like ``task_id`` or ``memory``."""
    def partial(self, **kwargs: Any) -> EnvTask[..., R]:
        """The same function with some of its arguments, for ``expand``."""
    def expand(self, **kwargs: XComArg | Collection[Any]) -> XComValue:
        """One task for each element."""
    def expand_kwargs(self, kwargs: XComArg | Sequence[Mapping[str, Any] | XComArg]) -> XComValue:
        """One task for each mapping of arguments."""

class Decorator(Protocol):
    """Makes a task of a function."""

    def __call__(self, function: Callable[P, T], /) -> EnvTask[P, T]: ...

class Env(Protocol):
    """The decorator `podenv.env`."""

    def __call__(
        self,
        environment: str,
        /,
        *,
        cpu: str | float | None = ...,
        memory: str | None = ...,
        max_memory: str | None = ...,
        gpu: str | int | None = ...,
        container_resources: V1ResourceRequirements | Mapping[str, Any] | None = ...,
        connections: Iterable[str] | Mapping[str, str] = ...,
        variables: Iterable[str] | Mapping[str, str] = ...,
        relaunch: int | None = ...,
        results: Literal["value", "exchange"] | None = ...,
        env_vars: Mapping[str, str] | Sequence[V1EnvVar] | None = ...,
        task_id: str = ...,
        multiple_outputs: bool | None = ...,
        retries: int | None = ...,
        retry_delay: timedelta | float = ...,
        execution_timeout: timedelta | None = ...,
        trigger_rule: str = ...,
        pool: str | None = ...,
        queue: str = ...,
        deferrable: bool = ...,
        do_xcom_push: bool = ...,
        **kwargs: Any,
    ) -> Decorator:
        """Run the decorated function in ``environment``.

        ``cpu``, ``memory`` and ``gpu`` (Kubernetes quantities) set request and limit alike. Out of memory, the task
        runs again with twice the memory, up to ``max_memory``. ``memory="auto"`` is learned from its earlier runs.
        ``connections`` names Airflow Connections, ``variables`` Airflow Variables, that the task gets as environment
        variables. With ``results="exchange"`` the value goes through the store, whatever it is. All other arguments are
        those of KubernetesPodOperator.
        """
