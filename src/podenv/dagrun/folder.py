"""A folder of DAG files, read as the dag processor reads it."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podenv.dagrun.lines import Lines
from podenv.errors import DagsUnreadable, SettingError, UnknownDag


@dataclass(frozen=True)
class DagFolder:
    """The DAGs of ``path`` by their id, and the files that Airflow cannot import with the reason."""

    path: Path
    dags: dict[str, Any]
    broken: dict[str, str]
    bag: Any
    """Airflow's own collection of them."""

    def dag(self, dag_id: str) -> Any:
        """One of them. Raises `UnknownDag`, or `DagsUnreadable` where a file that might hold it cannot be imported."""
        if dag_id in self.dags:
            return self.dags[dag_id]
        if self.broken:
            raise DagsUnreadable(self.broken)
        raise UnknownDag(dag_id, self.path, list(self.dags))


def read(path: Path) -> DagFolder:
    """The DAGs of the folder ``path``; what its files print goes to stderr. Raises `SettingError`."""
    if not path.is_dir():
        raise SettingError(f"There is no folder {path} with DAGs; name another one.")
    root = path.absolute()
    if str(root) not in sys.path:  # as the dag processor does for the root of a bundle: modules beside a DAG file
        sys.path.append(str(root))
    stderr = sys.stderr
    # Airflow 3.1 imports it with the next line, and would print a line for each of its plugins.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from podenv.airflow.compat import DagBag, bundle_arguments  # sets Airflow's logging up, which Lines then takes over

    with Lines(lambda _, line: print(line, file=stderr)).heard():
        bag = DagBag(**bundle_arguments(root))
    broken = {str(root / file): _last_line(error) for file, error in sorted(bag.import_errors.items())}
    return DagFolder(path, dict(sorted(bag.dags.items())), broken, bag)


def _last_line(error: str) -> str:
    """What went wrong, of a traceback as text; without the type of our own errors, whose message says it all."""
    line = error.strip().splitlines()[-1]
    kind, colon, message = line.partition(": ")
    return message if colon and kind.startswith("podenv.errors.") else line
