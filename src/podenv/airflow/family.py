"""The rest of ``@task``'s family in an environment, as Airflow has it: a branch, a short circuit, a sensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from podenv.airflow.compat import BaseSensorOperator, BranchMixIn, PokeReturnValue, SkipMixin
from podenv.airflow.decorator import EnvDecoratedOperator, decorator
from podenv.airflow.operator import EnvPodOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from podenv.airflow.compat import Task

    Decorate = Callable[[Callable[..., Any]], Task[..., Any]]


class _BranchOperator(EnvDecoratedOperator, BranchMixIn):
    custom_operator_name = "@task.env_branch"
    inherits_from_skipmixin = True
    discards_value = False
    decides = True

    def _conclude(self, context: Context, value: Any) -> Any:
        if value is not None and not isinstance(value, str) and not _are_texts(value):
            raise TypeError(f"{self.where}: a branch returns a task_id, a list of them, or None, not {value!r}.")
        return self.do_branch(context, value)


class _ShortCircuitOperator(EnvDecoratedOperator, SkipMixin):
    custom_operator_name = "@task.env_short_circuit"
    inherits_from_skipmixin = True
    discards_value = False
    decides = True

    def __init__(self, *, ignore_downstream_trigger_rules: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ignore_downstream_trigger_rules = ignore_downstream_trigger_rules

    def _conclude(self, context: Context, value: Any) -> Any:
        if not value and self.downstream_task_ids:
            task = context["task"]
            relatives = task.get_flat_relatives if self.ignore_downstream_trigger_rules else task.get_direct_relatives
            self.skip(ti=context["ti"], tasks=[one for one in relatives(upstream=False) if not one.is_teardown])
        return value


class _SensorOperator(EnvDecoratedOperator, BaseSensorOperator):
    custom_operator_name = "@task.env_sensor"
    discards_value = False
    decides = True

    def execute(self, context: Context) -> Any:
        """Poke until the function returns something true. Raises as Airflow's sensors do."""
        return BaseSensorOperator.execute(self, context)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Call the function once: one pod, or one local process."""
        value = EnvPodOperator.execute(self, context)
        # A PokeReturnValue cannot be made where there is no Airflow; its fields can.
        if isinstance(value, Mapping) and "is_done" in value and value.keys() <= {"is_done", "xcom_value"}:
            return PokeReturnValue(**value)
        return bool(value)

    def _check_what_runs(self) -> None:
        super()._check_what_runs()
        if self.deferrable:
            raise TypeError(f"{self.where}: a sensor cannot be deferrable; mode='reschedule' frees the slot.")


def env_branch(environment: str | None = None, /, **kwargs: Any) -> Decorate:
    """Run the decorated function in ``environment``, then the tasks that it names; the others are skipped."""
    return decorator(_BranchOperator, environment, kwargs, multiple_outputs=False)


def env_short_circuit(environment: str | None = None, /, **kwargs: Any) -> Decorate:
    """Run the decorated function in ``environment``; the tasks after it are skipped where it returns nothing true."""
    return decorator(_ShortCircuitOperator, environment, kwargs, multiple_outputs=False)


def env_sensor(environment: str | None = None, /, **kwargs: Any) -> Decorate:
    """Call the decorated function in ``environment`` again and again until it returns something true.

    A dict with ``is_done`` and ``xcom_value`` counts as Airflow's PokeReturnValue.
    """
    return decorator(_SensorOperator, environment, kwargs, multiple_outputs=False)


def _are_texts(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, Mapping) and all(isinstance(one, str) for one in value)
