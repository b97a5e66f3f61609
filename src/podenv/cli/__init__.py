"""The command line: each command parses, calls one function of the library and prints."""

import sys


def main() -> None:
    """The program ``podenv``."""
    try:
        from podenv.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "typer"):
            raise
        sys.exit(f"error: The command line needs {error.name}; install it with `pip install 'podenv[cli]'`.")
    run()
