"""``@task.env("name")``: the decorated function runs in the environment ``name``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs

# _TaskDecorator is private, and the only place where `.expand()` can be checked at parse time; its use is tested.
from airflow.sdk.bases.decorator import DecoratedOperator, _TaskDecorator

from podenv.airflow.operator import EnvPodOperator, check_mapped

if TYPE_CHECKING:
    from airflow.sdk import XComArg
    from airflow.sdk.bases.decorator import Task
    from airflow.sdk.definitions._internal.expandinput import ExpandInput

_FORM = 'write @task.env("name-of-the-environment", ...)'


class _EnvDecoratedOperator(DecoratedOperator, EnvPodOperator):  # type: ignore[misc]  # python_callable is required
    custom_operator_name = "@task.env"

    # The function takes the place of a command.
    template_fields: Sequence[str] = tuple(
        field for field in EnvPodOperator.template_fields if field not in ("cmds", "arguments")
    )
    template_fields_renderers = EnvPodOperator.template_fields_renderers

    def _take_function(self, *_: object) -> None:
        """`DecoratedOperator` has: one more ``__init__`` for it would cost a sixth of the parse."""

    def _hook_apply_defaults(self, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Undo the stock decorator, where ``default_args`` overwrite the function's parameters of the same name."""
        return args, kwargs


class _EnvTaskDecorator(_TaskDecorator[..., Any, _EnvDecoratedOperator]):
    """Checks mapped tasks at parse time: `.expand()` skips the operator's ``__init__`` until a worker runs it."""

    def _expand(self, expand_input: ExpandInput, *, strict: bool) -> XComArg:
        mapped = super()._expand(expand_input, strict=strict)
        check_mapped(mapped.operator, {})  # type: ignore[attr-defined]  # an XComArg of one operator
        return mapped


def env(
    environment: str | None = None, /, *, multiple_outputs: bool | None = None, **kwargs: Any
) -> Callable[[Callable[..., Any]], Task[..., Any]]:
    """Run the decorated function in ``environment``; ``kwargs`` are those of `EnvPodOperator`.

    Raises TypeError without a name; a wrong name is a DAG import error.
    """
    if callable(environment):
        raise TypeError(f"@task.env needs the name of an environment: {_FORM}.")
    if environment is not None:
        if "env" in kwargs:
            raise TypeError(f"@task.env got two names, {environment!r} and env={kwargs['env']!r}: {_FORM}.")
        kwargs["env"] = environment
    if not isinstance(kwargs.get("env"), str):
        raise TypeError(f"@task.env needs the name of an environment, not {kwargs.get('env')!r}: {_FORM}.")

    def decorate(function: Callable[..., Any]) -> Task[..., Any]:
        decorated = _EnvTaskDecorator(
            function=function,
            # Inferred from the annotations unless it was said.
            multiple_outputs=cast("bool", attrs.NOTHING) if multiple_outputs is None else multiple_outputs,
            operator_class=_EnvDecoratedOperator,
            kwargs=dict(kwargs),  # the stock decorator gives a second function the first one's task_id
        )
        return cast("Task[..., Any]", decorated)

    return decorate
