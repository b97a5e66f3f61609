"""The file in which a command leaves a value for XCom: ``/airflow/xcom/return.json`` in a pod, a private one here."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from podenv.call.command import XCOM_FOLDER
from podenv.errors import ResultRefused
from podenv.runtime.call import Result
from podenv.runtime.tagged import Refused

NAME = "return.json"
VARIABLE = "PODENV_XCOM_FILE"
"""The variable that names the file, for a program whose arguments do not."""


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder in the place of ``/airflow/xcom``, gone afterwards."""
    parent = tempfile.gettempdir()
    if not re.fullmatch(r"[\w./-]+", parent):  # it will stand in commands of a shell
        parent = "/tmp"  # noqa: S108 - the folder in it is new, and this user's
    with tempfile.TemporaryDirectory(prefix="podenv-xcom-", dir=parent) as own:
        yield Path(own)


def redirected(words: Sequence[str], own: Path) -> list[str]:
    """``words`` with the folder ``own`` in the place of ``/airflow/xcom``."""
    return [word.replace(XCOM_FOLDER, str(own)) for word in words]


def value(own: Path, environment: str) -> Any:
    """What the command wrote to the file in ``own``; None where it wrote nothing. Raises `ResultRefused`."""
    file = own / NAME
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        found = json.loads(text) if text.strip() else None
        Result(found).encode()
    except Refused as refused:
        raise ResultRefused(f"Environment {environment!r}: {refused}.") from None
    except ValueError as error:
        raise ResultRefused(f"Environment {environment!r}: {XCOM_FOLDER}/{NAME} holds no JSON: {error}.") from None
    return found
