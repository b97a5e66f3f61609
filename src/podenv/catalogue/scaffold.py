"""A new environment's folder, as a person begins to edit it."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from podenv.catalogue.environment import VALUES
from podenv.catalogue.names import check_environment_name
from podenv.catalogue.values import dump
from podenv.errors import EnvironmentExists, PodenvError

SCHEMA = "values.schema.json"  # beside the environments, for editors; `podenv init` writes it
REQUIREMENTS = "requirements.in"

_VALUES = """\
# The environment {name}, laid upon ../defaults.yaml as `helm -f defaults.yaml -f values.yaml` does
# (maps merge, lists are replaced, null removes). `podenv schema` prints all that may stand here.

description: {description}  # one line for people; `podenv list` shows it
python: "{python}"  # quoted: an unquoted 3.10 would be read as 3.1
"""
_EXAMPLES = """
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


def put(file: Path, content: bytes) -> None:
    """Give ``file`` this content at once; a link stays, and so do the rights of a file that exists. Raises OSError."""
    target = file.resolve()
    beside = target.with_name(f".new-{target.name}-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        if target.exists():
            beside.chmod(stat.S_IMODE(target.stat().st_mode))
        beside.replace(target)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


@dataclass(frozen=True)
class NewEnvironment:
    """What a new environment starts with.

    ``requirements`` are lines of requirements.in; ``values`` are further keys of values.yaml, each with a comment.
    """

    name: str
    python: str
    description: str = ""
    requirements: tuple[str, ...] = ()
    values: Mapping[str, tuple[object, str]] = field(default_factory=dict)

    def texts(self, *, schema: bool = False) -> dict[str, str]:
        """The files by their names; ``schema``: the catalogue holds the schema that an editor reads."""
        head = f"# yaml-language-server: $schema=../{SCHEMA}\n" if schema else ""
        description = json.dumps(self.description, ensure_ascii=False)
        values = head + _VALUES.format(name=self.name, python=self.python, description=description)
        for key, (value, comment) in self.values.items():
            values += f"\n# {comment}\n{dump({key: value})}"
        lines = "".join(f"{line}\n" for line in self.requirements)
        return {
            VALUES: values + _EXAMPLES.format(name=self.name),
            REQUIREMENTS: _REQUIREMENTS.format(name=self.name) + lines,
        }


def create(catalogue: Path, new: NewEnvironment) -> Path:
    """Make the folder of a new environment in ``catalogue``, which is made when it is missing, and return it.

    All of it appears at once. Raises `InvalidName`, `EnvironmentExists`, `PodenvError` when it cannot be written.
    """
    folder = catalogue / check_environment_name(new.name)
    unfinished = catalogue / f".new-{new.name}-{os.getpid()}"
    try:
        if folder.exists():
            raise EnvironmentExists(f"{folder} exists already; edit it, or choose another name.")
        unfinished.mkdir(parents=True)
        for name, text in new.texts(schema=(catalogue / SCHEMA).is_file()).items():
            (unfinished / name).write_text(text, encoding="utf-8")
        unfinished.rename(folder)
    except OSError as error:
        raise PodenvError(f"{folder} cannot be made: {error.strerror}.") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder
