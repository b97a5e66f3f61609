"""What is asked for -> requirements.txt: every version with its hashes, for one Python and the platforms named."""

from podenv.lock.lockfile import check, content_hash, lock_hash
from podenv.lock.pins import direct, in_git, linux, on, pinned, required, without_git
from podenv.lock.program import uv, uv_variables
from podenv.lock.resolution import resolve

__all__ = [
    "check",
    "content_hash",
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
