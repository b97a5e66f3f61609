"""A new environment's folder, as a person begins to edit it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from podenv.catalogue.environment import VALUES
from podenv.catalogue.names import check_environment_name
from podenv.errors import EnvironmentExists, PodenvError

_VALUES = """\
# The environment {name}, laid upon ../defaults.yaml as `helm -f defaults.yaml -f values.yaml` does
# (maps merge, lists are replaced, null removes). `podenv schema` prints all that may stand here.

description: {description}  # one line for people; `podenv list` shows it
python: "{python}"  # quoted: an unquoted 3.10 would be read as 3.1

# What each task here reserves and may use. A task can ask for more: @task.env("{name}", memory="2Gi").
# resources:
#   requests:
#     cpu: 250m      # cores; 250m is a quarter of one
#     memory: 256Mi  # bytes
#   limits:
#     cpu: "1"
#     memory: 1Gi    # beyond it the task fails as out of memory

# Environment variables of every task; nothing secret.
# env:
#   TZ: UTC
"""
_REQUIREMENTS = """\
# What {name} needs, one package a line, like: pandas>=2.1,<3
# After a change run `podenv lock {name}`: it writes every version and hash to requirements.txt. Commit both.
# `-r FILE` and `-c FILE` include a file, named relative to this one; `--no-binary NAME` builds a package from source.
"""


def create(catalogue: Path, name: str, python: str, *, description: str = "") -> Path:
    """Make the folder of environment ``name`` in ``catalogue``, which is made when it is missing, and return it.

    All of it appears at once. Raises `InvalidName`, `EnvironmentExists`, `PodenvError` when it cannot be written.
    """
    folder = catalogue / check_environment_name(name)
    values = _VALUES.format(name=name, python=python, description=json.dumps(description, ensure_ascii=False))
    unfinished = catalogue / f".new-{name}-{os.getpid()}"
    try:
        if folder.exists():
            raise EnvironmentExists(f"{folder} exists already; edit it, or choose another name.")
        unfinished.mkdir(parents=True)
        (unfinished / VALUES).write_text(values, encoding="utf-8")
        (unfinished / "requirements.in").write_text(_REQUIREMENTS.format(name=name), encoding="utf-8")
        unfinished.rename(folder)
    except OSError as error:
        raise PodenvError(f"{folder} cannot be made: {error.strerror}.") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder
