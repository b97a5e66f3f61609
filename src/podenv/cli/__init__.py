"""The command line: each command parses, calls one function of the library and prints."""

import atexit
import gc
import sys


def main() -> None:
    """The program ``podenv``."""
    # Most commands live for a second and read in thousands of classes, which are not garbage, not even at the end.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    try:
        from podenv.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "typer"):
            raise
        sys.exit(f"error: The command line needs {error.name}; install it with `pip install 'podenv[cli]'`.")
    except KeyboardInterrupt:  # later ones are told by `output.failures`
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)
    run()
