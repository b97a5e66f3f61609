"""A command as a function that travels: it runs the command inside the environment and brings back what it wrote."""

from __future__ import annotations

from typing import Any

XCOM_FOLDER = "/airflow/xcom"


def run_command(argv: list[str], xcom_file: str | None) -> Any:
    """Run ``argv`` to its end; the JSON that it wrote to ``xcom_file``, None when it wrote none.

    The process ends with the command's exit code when that is not 0.
    """
    import json
    import os
    import signal

    try:
        child = os.posix_spawnp(argv[0], argv, os.environ)
    except OSError as error:
        raise RuntimeError(f"{argv[0]} cannot be started in this environment: {error.strerror}") from None
    try:
        _, status = os.waitpid(child, 0)
    except BaseException:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        raise
    if status != 0:
        os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
    if xcom_file is None or not os.path.exists(xcom_file):  # noqa: PTH110 - pathlib costs every task milliseconds
        return None
    with open(xcom_file, encoding="utf-8") as file:  # noqa: PTH123
        text = file.read()
    try:
        return json.loads(text) if text.strip() else None
    except ValueError as error:
        raise ValueError(f"{xcom_file} holds no JSON: {error}") from None
