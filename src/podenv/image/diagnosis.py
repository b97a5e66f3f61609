"""Why a builder failed, read from what it said."""

from __future__ import annotations

from podenv import causes
from podenv.catalogue.reference import ImageRef
from podenv.errors import ProgramFailed, RegistryError, RegistryLoginNeeded, RegistryRefused, RegistryUnreachable

_RUN_AGAIN = "run the build again"
# Kind of cause in `causes.BUILD` -> what it means, for its subject.
_BUILD = {
    "old package list": f"the list of system packages is older than its server ({{0}}); {_RUN_AGAIN} with --refresh",
    "network": f"{{0}} cannot be reached; check the network, and {_RUN_AGAIN}",
    "hash": "{0} has another hash than the lock says; if that is meant, run `podenv lock`",
    "system package": "the base image's system has no package {0}; correct systemPackages",
    "python": "the base image has no {0}; choose another image.base",
    "disk": "the disk is full; free some space",
    "wheel": "{0} has no wheel for this platform",
    "credentials": "{0} wants other credentials; check those of the package index",
    "apt": "the base image has no apt-get, so it can take no systemPackages",
    "platform": "this machine cannot run programs of image.platform; build there, or install qemu-user-static",
    "memory": "the build was killed, most likely for want of memory; give the builder more",
}
# Kind of cause in `causes.PULL`, where it is about the base image.
_PULL = {
    "outage": f"a registry does not answer well; {_RUN_AGAIN}",
    "missing": "an image that the build starts from is not in its registry; correct image.base",
    "credentials": "a registry wants a login for an image that the build starts from",
    "platform": "an image that the build starts from is not made for image.platform",
}
# Kind of cause in `causes.PUSH` -> what to do where a registry refuses.
_PUSH = {
    "size": "It, or a proxy before it, takes no layer of that size; raise that limit.",
    "immutable": "It holds another image under this tag and replaces none; remove that one.",
    "quota": "Free some space there, or raise its quota.",
    "repository": "Make the repository there first.",
    "rights": "Ask for the right to push there.",
    "plain HTTP": "Where it has no TLS, add {host} to image.plainHttp or to PODENV_PLAIN_HTTP.",
    "certificate": "Where its certificate is of your own authority, give it to the builder too.",
}


def of_build(said: str, error: ProgramFailed) -> str:
    """Why a build failed, in a few words, from all that was said."""
    cause = causes.find(causes.BUILD, said)
    if cause is not causes.UNKNOWN:
        return _BUILD[cause.kind].format(cause.subject(said))
    lines = [line.strip() for line in error.stderr.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Error: building at STEP", "subprocess exited"))]
    last = (telling or lines or ["the builder said nothing"])[-1].rstrip(".")
    meaning = _PULL.get(causes.pull(last).kind)
    return f"{meaning} ({last})" if meaning else last


def of_push(ref: ImageRef, error: ProgramFailed) -> RegistryError:
    """The error that a failed push stands for."""
    said = error.stderr.strip().splitlines()[-1:] or ["it said nothing"]
    text = said[0].strip().rstrip(".")
    kind = causes.push(error.stderr, str(ref)).kind
    if kind == "login":
        return RegistryLoginNeeded(
            f"{ref.host} wants a login to take {ref}; run `{error.program} login {ref.host}`: {text}."
        )
    if kind == "outage":
        return RegistryUnreachable(f"{ref.host} does not answer well enough to take {ref}; push it again: {text}.")
    if remedy := _PUSH.get(kind):
        return RegistryRefused(f"{ref.host} refuses to take {ref}: {text}. {remedy.format(host=ref.host)}")
    return RegistryRefused(f"{ref} could not be pushed: {text}.")
