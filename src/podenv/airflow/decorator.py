"""``@task.env("name")``: the decorated function runs in the environment ``name``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs

from podenv.airflow.compat import DecoratedOperator, _TaskDecorator
from podenv.airflow.operator import EnvPodOperator
from podenv.airflow.task import check_mapped
from podenv.call import source

if TYPE_CHECKING:
    from airflow.sdk import XComArg

    from podenv.airflow.compat import ExpandInput, Task

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class EnvDecoratedOperator(DecoratedOperator, EnvPodOperator):
    custom_operator_name = "@task.env"
    python_callable: Callable[..., Any]
    op_args: Sequence[Any]

    # The function takes the place of a command.
    template_fields: Sequence[str] = tuple(
        field for field in EnvPodOperator.template_fields if field not in ("cmds", "arguments")
    )
    template_fields_renderers = EnvPodOperator.template_fields_renderers

    def _take_function(self, *_: object) -> None:
        """Do nothing: `DecoratedOperator` took it; one more ``__init__`` would cost a sixth of the parse."""

    def _hook_apply_defaults(self, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Give a parameter that has no value and no default of its own the one in ``default_args``.

        The stock decorator also overwrites the parameter's own default and what was passed by position. That is wrong
        if ``default_args`` hold a ``memory`` that is meant for the tasks.
        """
        function, defaults = kwargs.get("python_callable"), kwargs.get("default_args")
        if function is not None and defaults:
            op_args, op_kwargs = kwargs.get("op_args") or (), kwargs.get("op_kwargs") or {}
            kwargs["op_kwargs"] = {**_missing(inspect.signature(function), op_args, op_kwargs, defaults), **op_kwargs}
        return args, kwargs


def _missing(
    signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """The ``defaults`` for parameters that have no value from ``args`` or ``kwargs`` and no default of their own."""
    by_position = [p for p in signature.parameters.values() if p.kind is not p.KEYWORD_ONLY][len(args) :]
    by_name = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
    return {
        p.name: defaults[p.name]
        for p in (*by_position, *by_name)
        if p.name in defaults and p.name not in kwargs and p.default is p.empty and p.kind in _NAMED
    }


class _EnvTaskDecorator(_TaskDecorator[..., Any, EnvDecoratedOperator]):
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
    return decorator(EnvDecoratedOperator, environment, kwargs, multiple_outputs=multiple_outputs)


def decorator(
    operator: type[EnvDecoratedOperator],
    environment: str | None,
    kwargs: dict[str, Any],
    *,
    multiple_outputs: bool | None,
) -> Callable[[Callable[..., Any]], Task[..., Any]]:
    """What makes a task of ``operator`` in ``environment`` out of a function. Raises TypeError without a name."""
    name = operator.custom_operator_name
    form = f'write {name}("name-of-the-environment", ...)'
    if callable(environment):
        raise TypeError(f"{name} needs the name of an environment: {form}.")
    if environment is not None:
        if "env" in kwargs:
            raise TypeError(f"{name} got two names, {environment!r} and env={kwargs['env']!r}: {form}.")
        kwargs["env"] = environment
    if not isinstance(kwargs.get("env"), str):
        raise TypeError(f"{name} needs the name of an environment, not {kwargs.get('env')!r}: {form}.")

    def decorate(function: Callable[..., Any]) -> Task[..., Any]:
        source.refuse_airflows(function)
        decorated = _EnvTaskDecorator(
            function=function,
            # NOTHING: Airflow infers it from the annotations.
            multiple_outputs=cast("bool", attrs.NOTHING) if multiple_outputs is None else multiple_outputs,
            operator_class=operator,
            kwargs=dict(kwargs),  # the stock decorator gives a second function the first one's task_id
        )
        return cast("Task[..., Any]", decorated)

    return decorate
