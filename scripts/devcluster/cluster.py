"""Bring the cluster up, take it down, say how it is; one that is not healthy is taken down and made anew."""

import contextlib
import fcntl
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from devcluster import components, config, images, network, store, supervisor, supply
from devcluster.errors import DevClusterError
from devcluster.places import Places
from devcluster.programs import tail
from devcluster.progress import Progress

WARNING = "podenv's development cluster: one machine, no safety; not for production"
# Ports, link and rules are the machine's, so there is one cluster on it, wherever its folders are.
LOCK = Path("/run/podenv-dev-cluster.lock")
# Seconds from the start to the first healthy answer; seen: 1 to 10.
START_SECONDS = 90.0
# Seconds in which runit starts anew what ended, and the others find back to it; seen: 1 to 5.
RECOVERY_SECONDS = 10.0


@contextlib.contextmanager
def locked(progress: Progress) -> Iterator[None]:
    """Only one command at a time changes the cluster; another one waits and says so."""
    with LOCK.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say("  …      another dev-cluster command is at work; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def up(places: Places, progress: Progress) -> None:
    """Make the cluster run; one that is there and not healthy is taken down first."""
    if supervisor.pids(places) and not _ill(places, components.ALL, RECOVERY_SECONDS):
        progress.say("  ok     the cluster is up already")
        return
    places.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    supply.provide(places, progress)
    if anything_left(places):
        with progress.step("clear away what is left of a cluster"):
            clear(places)
    network.refuse_taken()
    for name, listens in components.SERVICES.items():
        components.refuse_taken_ports(name, listens)
    with progress.step("fresh keys and configuration"):
        config.write(places)
    with progress.step(f"link {network.LINK} with {network.NODE}, and its rules"):
        supervisor.make_group()
        network.raise_up(places)
    with progress.step(f"start {', '.join(components.SERVICES)}"):
        supervisor.start(places)
        _await(places, ["registry"])
        images.push(places)
        _await(places, components.ALL)


def _await(places: Places, parts: Collection[str]) -> None:
    """Wait until all are healthy; raises DevClusterError with the end of its log when one is not in time."""
    for name in _ill(places, parts, START_SECONDS):
        log = places.log(name)
        words = tail(log.read_text(errors="replace")) if log.exists() else ""
        raise DevClusterError(f"{name} did not become healthy (log: {log}); run up again.\n{words}")


def _ill(places: Places, parts: Collection[str], seconds: float) -> list[str]:
    """Those of `parts` that are not healthy, when all are or after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        healthy = components.healthy(places)
        ill = [name for name in parts if name not in healthy]
        if not ill or time.monotonic() > deadline:
            return ill
        time.sleep(0.1)


def variables(places: Places) -> dict[str, str]:
    """What tells tools of the cluster, its registry, its images and its bucket."""
    return {
        "KUBECONFIG": str(places.kubeconfig),
        "PODENV_REGISTRY": images.REGISTRY,
        "PODENV_BASE_IMAGE": images.BASE_PATTERN,
        "PODENV_UV_IMAGE": images.UV.reference,
        **store.VARIABLES,
    }


def down(places: Places, progress: Progress, *, registry: bool = False) -> None:
    """Remove everything that `up` made save the cache; the registry's storage goes when `registry` says so."""
    if not anything_left(places):
        progress.say("  ok     nothing is running")
    else:
        with progress.step("end processes, remove link, rules and state"):
            clear(places)
    if registry:
        shutil.rmtree(places.registry, ignore_errors=True)


def anything_left(places: Places) -> bool:
    """True if a cluster, or a part of one, is left."""
    return bool(supervisor.processes()) or any(path != places.registry for path in places.state.glob("*"))


def clear(places: Places) -> None:
    """End our processes and remove what they made, save for the registry's storage."""
    supervisor.end()
    network.take_down()
    for path in places.state.glob("*"):
        if path.is_dir() and path != places.registry:
            shutil.rmtree(path)
        elif path != places.registry:
            path.unlink()
