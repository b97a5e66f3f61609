"""Every task of an Airflow pipeline in an environment of its own: locked, with its own Python."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # importing typing takes longer than all of this module
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from podenv.airflow.operator import EnvPodOperator
    from podenv.airflow.typed import Env
    from podenv.catalogue.environment import Catalogue, Environment
    from podenv.errors import PodenvError
    from podenv.exchange.reference import Reference

    env: Env

__all__ = ["Catalogue", "EnvPodOperator", "Environment", "PodenvError", "Reference", "env", "run_in_env"]

_HOMES = {
    "Catalogue": "podenv.catalogue.environment",
    "EnvPodOperator": "podenv.airflow.operator",
    "Environment": "podenv.catalogue.environment",
    "PodenvError": "podenv.errors",
    "Reference": "podenv.exchange.reference",
    "env": "podenv.airflow.decorator",
}


def run_in_env(environment: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call ``function(*args, **kwargs)`` in ``environment`` and return its value.

    In a script, a notebook or a plain ``@task``; there the output goes to the task's log. Raises a `PodenvError`:
    `podenv.errors.FunctionRaised` when the function raised, another `TaskFailure` when it brought no result, and before
    anything starts what is wrong with the name, the lock, the function or its arguments.
    """
    # Decided when it is called: a script may import Airflow after podenv.
    if "airflow" in sys.modules:
        from podenv.airflow.run import run_in_env as run
    elif _backend() == "kubernetes":
        from podenv.pods.call import run_in_env as run
    else:
        from podenv.local import run_in_env as run
    return run(environment, function, *args, **kwargs)


def _backend() -> str:
    """Where functions run without Airflow: ``PODENV_BACKEND``, else on this machine."""
    from os import environ

    chosen = environ.get("PODENV_BACKEND") or "local"
    if chosen not in ("kubernetes", "local"):
        from podenv.errors import SettingError, nearest

        raise SettingError(
            f"There is no backend {chosen!r}.{nearest(chosen, ('kubernetes', 'local'))} "
            "Set PODENV_BACKEND to 'kubernetes' or 'local'."
        )
    return chosen


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: a DAG file that names one must not pay for all."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
