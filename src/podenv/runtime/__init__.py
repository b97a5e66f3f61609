"""The runtime that travels into an environment: standard library only, Python 3.8 or newer, nothing installed there."""

from __future__ import annotations

import binascii
import os
import pkgutil
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from podenv.runtime import ticket as tickets
from podenv.runtime.call import PREFIX, Call
from podenv.runtime.tagged import Refused

# Read by any Python, so that one that is too old can say so.
_CHECK = (
    "import sys; sys.version_info >= (3, 8) or sys.exit("
    "'podenv: this environment has Python ' + sys.version.split()[0] + '; podenv needs 3.8 or newer'); "
    "sys.path[:] = [p for p in sys.path if p]; "  # what lies in the working directory shadows no module
)
_BOOTSTRAP = (
    f"{_CHECK}import binascii, os, zlib; exec(zlib.decompress(binascii.a2b_base64(os.environ.pop('{PREFIX}CODE'))))"
)

CALL_VARIABLES = f"{PREFIX}CALL_"
"""How the names of the variables begin that bring a Call."""

_LOADER = """\
def add(sources):
    import sys  # the names of this module go before the function runs
    for name, text in sources:
        module = type(sys)("_podenv." + name)
        module.__package__ = "_podenv"
        sys.modules[module.__name__] = module
        exec(compile(text, "<podenv " + name + ">", "exec", 0, True), module.__dict__)
package = sys.modules["_podenv"] = type(sys)("_podenv")
package.__path__, package.add, package.later = [], add, later
add(first)
"""

# In the order in which they import each other; the second where modules travel with a Call.
_BASE = ("text", "tagged", "revive", "call", "frame", "logs", "load", "usage", "main")
_MODULES = ("resources", "modules")
# With a ticket; the others where there is something to bring to storage, or to fetch from there.
_EXCHANGE = ("reference", "ticket")
_EXCHANGE_LATER = ("storage", "web", "transfer", "annotation", "files", "tables", "exchange")

# Where podenv's own files can be read nothing is compiled: Python keeps the bytecode beside them.
_HERE = (
    f"{_CHECK}package = type(sys)('_podenv'); package.__path__ = [{str(Path(__file__).parent.absolute())!r}]; "
    "sys.modules['_podenv'] = package; "
)


def command(python: str = "python") -> list[str]:
    """The argv that starts the runtime in the image whose interpreter is ``python``."""
    return [python, "-c", _BOOTSTRAP]


def command_here(python: str, *, waits: bool = False) -> list[str]:
    """The argv that starts the runtime on this machine, with podenv's own files; that saves a third of the time.

    ``waits``: it takes its variables from its standard input, as an idle pod does.
    """
    start = "import _podenv.warm; _podenv.warm.wait('')" if waits else "import _podenv.main; _podenv.main.main()"
    return [python, "-c", _HERE + start]


def travel_env(
    call: Call,
    token: str,
    *,
    linger: float = 0.1,
    termination_log: str = "",
    die_with_parent: bool = False,
    discard: bool = False,
    bytecode: str = "",
    ticket: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """The environment variables that ``command()`` needs to make ``call``; they are gone before the function runs.

    ``token`` (8 to 64 letters, digits or dashes) marks the result's frame. ``linger``: seconds to live after the
    frame, so that a kubelet reads all of it. ``termination_log``: the file that also gets the frame when it fits.
    ``die_with_parent``: end with the thread that starts it, and adopt its descendants when their parents end (Linux).
    ``discard``: nobody wants the value, hence it may be anything, and the result holds None. ``bytecode``: a folder of
    this interpreter where the modules that travel are kept compiled.

    ``ticket`` lets tables, files and large values go through storage; `ticket.Ticket` says what is in it. Raises
    Refused, TooLarge.
    """
    if call.refers and ticket is None:
        raise Refused(
            f"the call to {call.code.name} refers to a value in storage, and no storage is set: set [podenv] exchange"
        )
    return {
        **call.to_env(),
        **(tickets.to_env(ticket) if ticket is not None else {}),
        f"{PREFIX}CODE": _code(*_BASE, *(_MODULES if call.names else ()), exchange=ticket is not None),
        f"{PREFIX}TOKEN": token,
        f"{PREFIX}LINGER": str(linger),
        f"{PREFIX}TERMINATION_LOG": termination_log,
        f"{PREFIX}PARENT": str(os.getpid()) if die_with_parent else "",
        **({f"{PREFIX}DISCARD": "1"} if discard else {}),
        **({f"{PREFIX}BYTECODE": bytecode} if bytecode else {}),
    }


def call_bytes(variables: Mapping[str, str]) -> int:
    """The size of the Call among ``variables``, with the addresses for what goes through storage."""
    return sum(len(value) for name, value in variables.items() if name.startswith(CALL_VARIABLES))


def waiting_code() -> str:
    """The runtime of a pod that waits for its task; it travels as that of a Call does, and ``command()`` starts it."""
    return _code(*_BASE, *_MODULES, "warm", start="warm.wait", exchange=True)


@lru_cache(maxsize=5)
def _code(*names: str, start: str = "main.main", exchange: bool = False) -> str:
    first = [(name, _source(name)) for name in (*names, *(_EXCHANGE if exchange else ()))]
    later = [(name, _source(name)) for name in (_EXCHANGE_LATER if exchange else ())]
    module, _, function = start.partition(".")
    code = f"first = {first!r}\nlater = {later!r}\n{_LOADER}sys.modules['_podenv.{module}'].{function}()\n"
    return binascii.b2a_base64(zlib.compress(code.encode(), 9), newline=False).decode("ascii")


def _source(name: str) -> str:
    source = pkgutil.get_data(__name__, f"{name}.py")
    assert source is not None
    return source.decode()
