"""`podenv run`, `podenv usage`."""

from __future__ import annotations

import json as jsonlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from podenv import lock
from podenv.catalogue.environment import Catalogue
from podenv.catalogue.request import GPU
from podenv.cli import certain, output
from podenv.cli.certain import NoCheck
from podenv.cli.choice import AsJson, DagsFolder
from podenv.dagrun import folder as dagfolder
from podenv.dagrun import home
from podenv.dagrun import run as dagrun
from podenv.dagrun import usage as dagusage
from podenv.dagrun.results import RunResult, TaskResult, TaskUse
from podenv.errors import LockError, SettingError
from podenv.lock import cache


class Backend(Enum):
    """Where tasks run."""

    LOCAL = "local"
    KUBERNETES = "kubernetes"


def _conf(text: str) -> dict[str, Any]:
    try:
        value = jsonlib.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"it is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter('it must be a JSON object, like {"rows": 10}.')
    return value


def run(
    dag: Annotated[str, typer.Argument(metavar="DAG", help="The id of the DAG.")],
    conf: Annotated[
        Any, typer.Option(metavar="JSON", parser=_conf, help="The run's configuration, a JSON object.")
    ] = None,
    folder: DagsFolder = None,
    backend: Annotated[
        Backend, typer.Option(help="Where the tasks run: in virtual environments here, or as pods.")
    ] = Backend.LOCAL,
    no_check: NoCheck = False,
    json: AsJson = False,
) -> None:
    """Run a DAG here, each task in its environment.

    The tasks run one after the other in local virtual environments, which are made first where they are missing; or,
    with --backend kubernetes, as pods where `podenv up` has deployed their environments: in the cluster of the
    kubeconfig in force, or in that of cluster.context where the values name a Connection too. What they print goes to
    stderr; then come a table of the tasks and what the last one returned. The exit code is 1 when the run failed.
    Nothing starts where `podenv check` knows that a task is certain to fail.

    Here a variable that comes from a Secret or a ConfigMap has the value of your shell's variable of that name;
    PODENV_PASS_ENV names further variables of your shell that the tasks get, like "AWS_*,JAVA_HOME".

    \b
    Example:  podenv run multi_env_dag
              podenv run multi_env_dag --backend kubernetes
              podenv run multi_env_dag --conf '{"rows": 100}' --json | jq .tasks
    """
    path, catalogue = prepare("run", folder)
    if backend is Backend.KUBERNETES:
        home.connect(catalogue)
    with output.waiting("starting Airflow") as (print_line, doing), _stopped_by_signals() as check:

        def on_line(task: str, line: str) -> None:
            check()
            doing(task)
            print_line(task, line)

        def on_end(result: TaskResult) -> None:
            check()
            duration = output.duration(result.seconds or 0)
            print_line(result.task_id, f"{result.state}{duration}{f': {result.error}' if result.error else ''}")

        found = dagfolder.read(path)
        if not no_check:
            certain.refuse_run(dag, Path(found.dag(dag).fileloc), catalogue, folder=path)
        result = dagrun.run(
            found, dag, conf=conf, backend=backend.value, catalogue=catalogue.root, on_line=on_line, on_end=on_end
        )
    rows = [_row(task, catalogue) for task in result.tasks]
    if json:
        output.as_json({**asdict(result), "tasks": rows, "result": _last_value(result)})
    else:
        _show(result, rows)
        if home.is_own():
            output.say("`podenv ui` shows it in Airflow's own UI.", stderr=True)
    if result.state != "success":
        output.error(f"The run of {dag} ended as {result.state} after {output.seconds(result.seconds)}.")
        raise typer.Exit(1)


def ui(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of this machine, on loopback; 0 takes a free one.")
    ] = 8080,
    folder: DagsFolder = None,
) -> None:
    """Show in Airflow's own UI what `podenv run` ran.

    The command prints the address of the page of environments and serves Airflow on loopback until Ctrl-C. Whoever
    reaches this port of this machine is an administrator there. No scheduler is started: `podenv run` in another
    terminal runs DAGs.

    \b
    Example:  podenv run multi_env_dag
              podenv ui
    """
    _, catalogue = prepare("ui", folder)
    home.connect(catalogue)
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise SettingError(f"Port {port} cannot be taken ({why}); `podenv ui --port 0` takes a free one.") from None
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"  # it would log each request
    with listener:
        output.say(f"Starting Airflow on {address} …", stderr=True)
        home.ensure_database()
        from podenv.airflow.ui.server import serve

        serve(listener, lambda: output.say(f"{address}/plugin/environments    (Ctrl-C ends it)"))


def usage(folder: DagsFolder = None, json: AsJson = False) -> None:
    """Show which task uses which environment.

    Each with its limits; then the environments that no task uses. Calls of run_in_env are not seen. The exit code is 1
    when a DAG file cannot be imported; the unused environments are not known then.

    \b
    Example:  podenv usage
              podenv usage --json | jq -r '.unused[]'
    """
    path, catalogue = prepare("usage", folder)
    with output.waiting("reading the DAGs"):
        found = dagfolder.read(path)
        uses = sorted(dagusage.usage(found), key=lambda use: (use.environment, use.dag_id, use.task_id))
    broken = found.broken
    used = {use.environment for use in uses}
    unused = None if broken else [name for name in catalogue.names() if name not in used]
    if json:
        output.as_json({"tasks": [asdict(use) for use in uses], "unused": unused, "broken": broken})
    else:
        _show_usage(uses, unused or ())
    for file, why in broken.items():
        output.error(f"{file}: {why}")
    if broken:
        raise typer.Exit(1)


def _show_usage(uses: Sequence[TaskUse], unused: Sequence[str]) -> None:
    cells = [
        (use.environment, use.dag_id, use.task_id, _limits(use.cpu, use.memory, use.gpu, use.max_memory))
        for use in uses
    ]
    output.table(("ENVIRONMENT", "DAG", "TASK", "LIMITS"), [*cells, *((name, "unused", "-", "-") for name in unused)])


@contextmanager
def _stopped_by_signals() -> Iterator[Callable[[], None]]:
    """A check that raises once SIGINT or SIGTERM has come: Airflow takes them for the failure of one task.

    It puts handlers of its own in the place of ours too, so the interpreter itself is asked which signals came.
    """
    ours, theirs = socket.socketpair()
    came = bytearray()

    def check() -> None:
        with suppress(BlockingIOError):
            came.extend(ours.recv(4096))
        if signal.SIGINT in came:
            raise KeyboardInterrupt
        if signal.SIGTERM in came:
            sys.exit(128 + signal.SIGTERM)

    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        try:
            yield check
        finally:
            signal.set_wakeup_fd(before)


def prepare(command: str, folder: Path | None) -> tuple[Path, Catalogue]:
    """The folder of DAGs and its catalogue, with Airflow's settings ready for it."""
    if find_spec("airflow") is None:
        raise SettingError(
            f"`podenv {command}` reads DAG files, which needs Airflow; install it with `pip install 'podenv[airflow]'`."
        )
    folder = folder or Catalogue.find().root.parent / "dags"
    if not folder.is_dir():
        raise SettingError(f"There is no folder {folder}; name the folder of the DAG files with --dags.")
    home.start_quickly()
    home.prepare(folder, cache=cache.folder())
    return folder, Catalogue.find(folder)


def _row(task: TaskResult, catalogue: Catalogue) -> dict[str, Any]:
    """What `podenv run` says of a task."""
    limits = task.limits
    return {
        **asdict(task),
        "libraries": _libraries(task, catalogue),
        "limits": None
        if limits is None
        else _limits(limits.get("cpu"), limits.get("memory"), limits.get(GPU), task.max_memory),
    }


def _libraries(task: TaskResult, catalogue: Catalogue) -> dict[str, str] | None:
    """What its environment was asked for, with the versions that it had; None where this catalogue cannot tell."""
    if task.environment is None or task.lock is None:
        return None
    environment = catalogue[task.environment]
    try:
        if lock.lock_hash(environment) != task.lock:
            return None
        pinned = lock.pinned(environment)
        return {name: pinned[name] for name in lock.direct(environment) if name in pinned}
    except LockError:  # the pod's image was built elsewhere
        return None


def _limits(cpu: str | None, memory: str | None, gpu: str | None, max_memory: str | None) -> str:
    parts = [f"{name} {value}" for name, value in (("cpu", cpu), ("memory", memory), ("gpu", gpu)) if value]
    return ", ".join(parts) + (f" (up to {max_memory})" if max_memory else "") or "none"


def _show(result: RunResult, rows: Sequence[dict[str, Any]]) -> None:
    columns = ("TASK", "ENVIRONMENT", "PYTHON", "LIBRARIES", "LIMITS", "STATE", "TIME")
    cells = [
        (
            row["task_id"] if row["map_index"] < 0 else f"{row['task_id']}[{row['map_index']}]",
            row["environment"] or "-",
            row["python"] or "-",
            _versions(row),
            row["limits"] or "-",
            row["state"],
            "-" if row["seconds"] is None else output.seconds(row["seconds"]),
        )
        for row in rows
    ]
    output.table(columns, cells)
    value = _last_value(result)
    if value is not None:
        output.as_json(value)


def _versions(row: Mapping[str, Any]) -> str:
    if row["libraries"] is None:
        return f"those of lock {row['lock'][:16]}" if row["lock"] else "-"
    return ", ".join(f"{name} {version}" for name, version in row["libraries"].items()) or "-"


def _last_value(result: RunResult) -> Any:
    """What the task that ended last with a value returned, of a run that succeeded; a list when it was mapped."""
    with_value = [task for task in result.tasks if task.value is not None]
    if not with_value or result.state != "success":
        return None
    last = with_value[-1]
    if last.map_index < 0:
        return last.value
    ordered = sorted(result.tasks, key=lambda task: task.map_index)
    return [task.value for task in ordered if task.task_id == last.task_id]
