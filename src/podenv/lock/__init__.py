"""requirements.in -> requirements.txt: every version with its hashes, for one Python, on Linux and macOS."""

from podenv.lock.lockfile import check, lock_hash
from podenv.lock.pins import direct, in_git, linux, on, pinned, required, without_git
from podenv.lock.program import uv, uv_variables
from podenv.lock.resolution import resolve

__all__ = [
    "check",
    "direct",
    "in_git",
    "linux",
    "lock_hash",
    "on",
    "pinned",
    "required",
    "resolve",
    "uv",
    "uv_variables",
    "without_git",
]
