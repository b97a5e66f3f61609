"""``scripts/reference``: the pages of docs/reference/, written from the code that they describe."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

import errormessages
import valuekeys
from podenv import errors
from podenv.airflow import measured
from podenv.airflow.operator import may_retry
from podenv.airflow.provider import get_provider_info
from podenv.cli.app import app
from podenv.errors import PodenvError
from valuekeys import cell, table

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
HEAD = "<!-- This page is written by scripts/reference; edit {source} instead. -->\n"
WIDTH = 100  # characters of a line of help

# What is set outside of Airflow's configuration; a test compares the names with those in the code.
VARIABLES = {
    "PODENV_AIRFLOW_PASSWORD": "The password of `podenv sizes --user`, which asks for it otherwise.",
    "PODENV_AIRFLOW_TOKEN": "The token with which `podenv sizes` reads Airflow's REST API.",
    "PODENV_AIRFLOW_URL": "The address of the Airflow whose REST API `podenv sizes` reads.",
    "PODENV_AIRFLOW_USER": "The user as whom `podenv sizes` reads it, in place of a token.",
    "PODENV_BACKEND": "`local` or `kubernetes`: where tasks and `run_in_env` run. Goes before `[podenv] backend`.",
    "PODENV_BASE_IMAGE": "The base image of builds; `{python}` in it becomes the version. Goes before `image.base`.",
    "PODENV_COSIGN_KEY": "The key that cosign signs with, a file or an address. Goes before `image.signature.key`.",
    "PODENV_BUILDER": "The program that builds images: `docker`, `buildah` or `podman`. Goes before `image.builder`.",
    "PODENV_BUILD_CACHE": "The repository of layers of builds, like `ghcr.io/acme/x`. Goes before `image.cache`.",
    "PODENV_CACHE": "The folder for virtual environments and built wheels. Default: `podenv` in the user's cache.",
    "PODENV_CATALOGUE": "The `envs/` folder. Goes before `[podenv] catalogue`.",
    "PODENV_CODE": "Folders with modules that travel, with commas between. Goes before `[podenv] code`.",
    "PODENV_EXCHANGE": "Where values go that are too much for XCom. Goes before `[podenv] exchange`.",
    "PODENV_HELM": "The helm program. Default: `helm` on PATH.",
    "PODENV_NAMESPACE_PREFIX": "What environments' namespaces begin with. Goes before `[podenv] namespace_prefix`.",
    "PODENV_PASS_ENV": "Further variables of your shell that local tasks get; names and patterns, like `AWS_*`.",
    "PODENV_PLAIN_HTTP": "Registries without TLS, with commas between, beside localhost and `image.plainHttp`.",
    "PODENV_REGISTRY": "The registry of images, like `registry.example.com/team`. Goes before `image.registry`.",
    "PODENV_UV_IMAGE": "The image that builds take the program `/uv` from. Goes before `image.uv`.",
    "PODENV_XCOM_FILE": "Set for a command on both backends: the file that its value is written to.",
}

# What podenv sets for itself in a task's process, and what the scripts of a checkout read.
INNER = {
    "PODENV_RUN_…": "The call and what the runtime needs to run it; removed before your code runs.",
    "PODENV_TASK": "Marks the processes of a local task, so that all of them end with it.",
    "PODENV_WARM_IMPORTS": "What an idle pod imports before a task comes: `warm.imports` of the values.",
}
CHECKOUT = {
    "PODENV_DEV_CACHE": "Where `scripts/dev-cluster` keeps what took long to make.",
    "PODENV_DEV_STATE": "Where the development cluster itself is.",
    "PODENV_PYTHON": "The Python that `.venv` is made with. Default: the first of 3.11 or newer on PATH.",
    "PODENV_REQUIRE_CLUSTER": "`1`: `scripts/test` fails where the cluster tests cannot run.",
}

# What each metric says, and its own tags; the names and kinds are those of the code.
METRICS = {
    "podenv.task.runs": ("executions that ended", "`state`: `success`, `failed`, `out_of_memory`, `killed`"),
    "podenv.task.failures": ("those that failed", "`failure`: the [type of the error](errors.md)"),
    "podenv.task.launches": (
        "pods, on the local backend processes",
        "`kind`: `new`, or `idle` for one that had waited",
    ),
    "podenv.task.relaunches": (
        "launches that followed in the same try",
        "`reason`: `OutOfMemory`, `NodeLost`, `Deleted`, or the cluster's word, as `Evicted`",
    ),
    "podenv.task.adoptions": ("pods of an earlier worker that were followed to their end", ""),
    "podenv.task.out_of_memory_kills": ("processes that the kernel ended for lack of memory", ""),
    "podenv.task.api_requests": (
        "requests of the worker to the API server; those of the triggerer are not counted",
        "",
    ),
    "podenv.task.duration": ("milliseconds that the function ran", ""),
    "podenv.task.waiting": ("milliseconds in line for room; none for a task that did not wait", ""),
    "podenv.task.starting": (
        "milliseconds of one pod's start: from a node taking it to its container running, or from looking for an idle "
        "pod to its having the call",
        "",
    ),
    "podenv.task.call_bytes": ("bytes of the call as it travels", ""),
    "podenv.task.result_bytes": ("bytes of the result as it came back, without what went to the store", ""),
    "podenv.task.peak_memory_bytes": ("bytes", ""),
    "podenv.task.memory_limit_bytes": ("bytes", ""),
    "podenv.task.cpu_seconds": ("seconds", ""),
    "podenv.task.throttled_seconds": ("seconds that the CPU limit took", ""),
    "podenv.task.written_bytes": ("bytes written to disks", ""),
}


def commands() -> str:
    """Every command's ``--help``."""
    group: Any = typer.main.get_command(app)
    top = typer.Context(
        group,
        info_name="podenv",
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    parts = [HEAD.format(source="src/podenv/cli/"), "# Commands\n", _help("podenv", group.get_help(top))]
    for name in group.list_commands(top):
        parts += _of_command(group.get_command(top, name), name, top, "podenv")
    return "\n".join(parts)


def _of_command(command: Any, name: str, above: Any, path: str) -> Iterator[str]:
    context = typer.Context(command, info_name=name, parent=above)
    yield _help(f"{path} {name}", command.get_help(context))
    for inner in getattr(command, "commands", {}):
        yield from _of_command(command.commands[inner], inner, context, f"{path} {name}")


def _help(title: str, text: str) -> str:
    return f"## {title}\n\n```text\n{text.strip()}\n```\n"


def settings() -> str:
    """The options of Airflow's section ``[podenv]``, and the variables."""
    options = get_provider_info()["config"]["podenv"]["options"]
    rows = [
        (f"`{name}`", _default(one["default"]), f"`{one['example']}`", cell(one["description"]))
        for name, one in options.items()
    ]
    return "\n".join((
        HEAD.format(source="src/podenv/airflow/provider.py"),
        "# Settings\n",
        "## `[podenv]` in Airflow's configuration\n",
        "Set them in `airflow.cfg`, or as variables: `AIRFLOW__PODENV__BACKEND=local`. In the values of the official\n"
        "chart they stand under `config: {podenv: {...}}`. `airflow config list --section podenv` shows them.\n",
        table(("option", "default", "example", "meaning"), rows),
        "## Variables\n",
        _variables(VARIABLES),
        "podenv sets for itself, in the process of a task:\n",
        _variables(INNER),
        "The scripts of a checkout read:\n",
        _variables(CHECKOUT),
    ))  # fmt: skip


def _variables(of: dict[str, str]) -> str:
    return table(("variable", "meaning"), [(f"`{name}`", text) for name, text in of.items()])


def values() -> str:
    """The keys of values.yaml, by the parts of the model."""
    parts = [
        HEAD.format(source="src/podenv/catalogue/spec/"),
        "# Values\n",
        "The keys of `envs/<name>/values.yaml` and `envs/defaults.yaml`. `[]` is an entry of a list. The defaults of\n"
        "keys that the chart reads are in [charts/airflow-env/values.yaml](../../charts/airflow-env/values.yaml).\n"
        "`podenv schema` prints the same as a JSON schema for an editor.\n",
    ]
    for title, rows in valuekeys.sections():
        cells = [(f"`{key}`", form, text) for key, form, text in rows]
        parts += [f"## {title}\n", table(("key", "kind", "meaning"), cells)]
    return "\n".join(parts)


def error_types() -> str:
    """The tree of errors, and of each what it means and whether a task tries again."""
    tree = (errors.__doc__ or "").split("\n\n")[1]
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, PodenvError)]
    rows = [(f"`{kind.__name__}`", cell(inspect.getdoc(kind) or ""), _retried(kind)) for kind in kinds]
    return "\n".join((
        HEAD.format(source="src/podenv/errors.py"),
        "# Errors\n",
        "Every failure is a type of `podenv.errors`. Its message is one line: what happened, where, why, and what to\n"
        "do next. A task does not try again after an error whose last column says \"no\", since that cannot help.\n",
        f"```text\n{inspect.cleandoc(tree)}\n```\n",
        table(("error", "meaning", "tried again"), rows),
    ))  # fmt: skip


def error_messages() -> str:
    """What the errors say, to be found by their words."""
    kinds = {
        name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, PodenvError)
    }
    parts = [
        HEAD.format(source="the code that raises them"),
        "# Messages\n",
        "What podenv's errors say. Below a type stands its cause; a message ends with the remedy. An ellipsis\n"
        "stands for what differs from case to case. Search this page for words of a message that you see.\n",
    ]
    for name, texts in errormessages.messages(set(kinds)).items():
        cause = cell(inspect.getdoc(kinds[name]) or "")
        listed = "".join(f"- {_code(text)}\n" for text in texts)
        parts.append(f"## {name}\n\n{cause} Tried again: {_retried(kinds[name])}.\n\n{listed}")
    return "\n".join(parts)


def _code(text: str) -> str:
    """``text`` as code, whatever backticks it has."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def metrics() -> str:
    """What Airflow's metrics get."""
    rows = [(f"`{name}`", kind, *METRICS[name]) for name, kind in measured.METRICS.items()]
    return "\n".join((
        HEAD.format(source="src/podenv/airflow/measured.py and scripts/referencepages.py"),
        "# Metrics\n",
        "Sent to Airflow's own metrics: see [In production](../production.md#metrics). Each has the tags `dag_id`,\n"
        "`task_id` and `environment`.\n",
        table(("metric", "kind", "what", "further tags"), rows),
    ))  # fmt: skip


def _retried(kind: type[PodenvError]) -> str:
    return "as `retries` say" if may_retry(kind.__new__(kind)) else "no"


def _default(text: str) -> str:
    return f"`{text}`" if text else "empty"


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands,
    "settings.md": settings,
    "values.md": values,
    "errors.md": error_types,
    "messages.md": error_messages,
    "metrics.md": metrics,
}


def stale() -> list[Path]:
    """The pages that are not what the code says."""
    files = {FOLDER / name: write() for name, write in PAGES.items()}
    return [file for file, text in files.items() if not file.exists() or file.read_text(encoding="utf-8") != text]


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; name the pages that are stale")
    if parser.parse_args().check:
        old = [str(file.relative_to(ROOT)) for file in stale()]
        sys.exit(f"stale: {', '.join(old)}; run scripts/reference." if old else 0)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, write in PAGES.items():
        (FOLDER / name).write_text(write(), encoding="utf-8")


if __name__ == "__main__":
    main()
