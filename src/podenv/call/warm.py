"""A Call for a pod that waits for it: what such a pod starts with, and what is sent to it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping

from podenv.runtime import frame, waiting_code
from podenv.runtime.call import PREFIX
from podenv.runtime.warm import CANNOT_WAIT, HEAD

RUNTIME = f"{PREFIX}CODE"
"""The variable of an idle pod that holds `runtime`."""

# Any Python reads it: one that is too old says so where `podenv status` looks.
_LOADER = """\
import binascii, os, sys, zlib
if sys.version_info < (3, 8):
    reason = "its image has Python %s, podenv needs 3.8 or newer" % sys.version.split()[0]
    sys.stderr.write(reason + "\\n")
    open("/dev/termination-log", "w").write(reason)
    sys.exit({cannot_wait})
sys.path[:] = [p for p in sys.path if p]
exec(zlib.decompress(binascii.a2b_base64(os.environ.pop("{runtime}"))))
"""


def loader() -> str:
    """The Python that an idle pod starts, as ``python -c`` takes it."""
    return _LOADER.format(cannot_wait=CANNOT_WAIT, runtime=RUNTIME)


def runtime() -> str:
    """The value of `RUNTIME` in an idle pod: one line of base64, the same for every environment."""
    return waiting_code()


def message(variables: Mapping[str, str]) -> bytes:
    """What hands ``variables``, those that ``runtime.travel_env`` gives and a task's own, to an idle pod."""
    body = zlib.compress(json.dumps(dict(variables)).encode(), 6)
    return b"%s%08x\n%s" % (HEAD, len(body), body)


def taken(token: str) -> bytes:
    """The line by which the pod says that the whole message has come."""
    return frame.taken(token)
