"""Bring the cluster up, take it down, say how it is; one that is not healthy is taken down and made anew."""

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from devcluster import certificates, components, config, images, machine, network, store, supervisor, supply
from devcluster.components import API, Component, ask
from devcluster.errors import DevClusterError
from devcluster.places import Places, write_private
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
    with LOCK.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            progress.say(f"  …      another dev-cluster command (pid {file.read()}) is at work; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def up(places: Places, progress: Progress) -> None:
    """Make the cluster run; one that is there and not healthy is taken down first."""
    if _is_healthy(places):
        progress.say("  ok     the cluster is up already")
        return
    for folder in (places.cache, places.state):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    supply.provide(places, progress)
    if anything_left(places):
        with progress.step("clear away what is left of a cluster"):
            clear(places)
    network.refuse_taken()
    for component in components.ALL:
        components.refuse_taken_ports(component)
    with progress.step("fresh keys and configuration"):
        machine.remember_settings(places.state / "settings.json")
        certificates.make(places.certificates)
        config.write(places)
        write_private(_record(places), machine.boot_id())
    with progress.step(f"link {network.LINK} with {network.NODE}, and its rules"):
        machine.make_group()
        network.raise_up(places)
    with progress.step(f"start {', '.join(component.name for component in components.ALL)}"):
        supervisor.start(places)
        _await_healthy(places, *components.ALL[:1])
        for image in images.ALL:
            if not images.is_pushed(image, places):
                images.push(image, places, places.log("push"))
        _await_healthy(places, *components.ALL)
        _await(partial(is_ready, places), "the node did not become ready", places.log("kubelet"))


def is_made(places: Places) -> bool:
    """True if a cluster was made since the machine's start, and not removed."""
    return _record(places).is_file() and _record(places).read_text() == machine.boot_id()


def _record(places: Places) -> Path:
    return places.state / "boot"


def _is_healthy(places: Places) -> bool:
    """True if the cluster is whole, at once or after runit has started anew what ended."""

    def whole() -> bool:
        return all(part.healthy for part in status(places))

    return is_made(places) and bool(supervisor.pids(places)) and _becomes(whole, RECOVERY_SECONDS)


def _await(holds: Callable[[], bool], otherwise: str, log: Path) -> None:
    """Wait until `holds`; raises DevClusterError with the log's end when it takes too long."""
    if not _becomes(holds, START_SECONDS):
        words = tail(log.read_text(errors="replace")) if log.exists() else ""
        raise DevClusterError(f"{otherwise} (log: {log}); run up again.\n{words}")


def _await_healthy(places: Places, *awaited: Component) -> None:
    for component in awaited:
        otherwise = f"{component.name} did not become healthy"
        _await(partial(component.healthy, places), otherwise, places.log(component.name))


def _becomes(holds: Callable[[], bool], seconds: float) -> bool:
    """True as soon as `holds`; False if it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def is_ready(places: Places) -> bool:
    """True if the node takes pods and the default namespace's service account is there, which every pod needs."""
    asked = (f"{API}/api/v1/nodes/podenv-dev", f"{API}/api/v1/namespaces/default/serviceaccounts/default")
    node, account = (json.loads(body) if code == 200 else {} for code, body in (ask(places, url) for url in asked))
    conditions = node.get("status", {}).get("conditions", [])
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return ready and bool(account.get("secrets"))


@dataclass(frozen=True)
class Part:
    """A row of `status`."""

    name: str
    pid: int | None
    healthy: bool
    where: str


def status(places: Places) -> list[Part]:
    """How each part of the cluster is, asked side by side; empty when there is none."""
    if not is_made(places):
        return []
    pids = supervisor.pids(places)
    with ThreadPoolExecutor() as pool:
        healthy = list(pool.map(lambda component: component.healthy(places), components.ALL))
    rows = [
        Part(part.name, pids.get(part.name), answers and part.name in pids, ", ".join(part.listens))
        for part, answers in zip(components.ALL, healthy, strict=True)
    ]
    rows.append(Part("node", None, is_ready(places), network.NODE))
    rows.append(Part("link", None, network.is_up(places), network.LINK))
    pushed = all(images.is_pushed(image, places) for image in images.ALL)
    return [*rows, Part("images", None, pushed, images.REGISTRY)]


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
    return bool(supervisor.processes(places)) or any(path != places.registry for path in places.state.glob("*"))


def clear(places: Places) -> None:
    """End our processes and remove what they made, save for the registry's storage."""
    supervisor.end(places)
    machine.remove_group()
    machine.unmount(places.state)
    network.take_down()
    machine.restore_settings(places.state / "settings.json")
    for path in places.state.glob("*"):
        if path.is_dir() and path != places.registry:
            shutil.rmtree(path)
        elif path != places.registry:
            path.unlink()
