"""The public names of podenv, and what it costs to import it."""

from __future__ import annotations

import subprocess
import sys

import podenv


def test_public_names_are_these_and_each_can_be_loaded() -> None:
    assert podenv.__all__ == [
        "Catalogue",
        "EnvPodOperator",
        "Environment",
        "PodenvError",
        "Reference",
        "env",
        "run_in_env",
    ]
    loaded = subprocess.run(
        [sys.executable, "-c", "import podenv; print(*(getattr(podenv, n).__module__ for n in podenv.__all__))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert loaded.stdout.split() == [
        "podenv.catalogue.environment",
        "podenv.airflow.operator",
        "podenv.catalogue.environment",
        "podenv.errors",
        "podenv.exchange.reference",
        "podenv.airflow.decorator",
        "podenv",
    ]


def test_importing_podenv_is_light_and_fast() -> None:
    code = (
        "import sys, time; began = time.process_time(); import podenv; spent = time.process_time() - began; "
        "print(spent, *[n for n in ('airflow', 'kubernetes', 'pydantic', 'typer', 'yaml') if n in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said[1:] == []
    assert float(said[0]) < 0.030
