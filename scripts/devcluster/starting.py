"""Start components side by side, each as soon as those it needs are healthy."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from devcluster import images, processes
from devcluster.components import Component
from devcluster.errors import DevClusterError
from devcluster.places import Places
from devcluster.processes import Identity
from devcluster.programs import tail
from devcluster.progress import Progress

# Seconds from the start of a component to its first healthy answer; seen: 1 to 6.
START_SECONDS = 90.0
# Seconds in which a running component finds back to one that was started anew; seen: 1 to 2.
RECOVERY_SECONDS = 5.0


def start(places: Places, components: list[Component], progress: Progress) -> None:
    """Start, side by side, each component that is not healthy, as soon as those it needs are."""
    records = places.state / "processes"
    known = {processes.recorded(records, component.name) for component in components}
    for stray in processes.belonging_to(places.cache, places.state):
        # containerd's shims stay: the pods live in them, and containerd finds them again.
        if stray not in known and "containerd-shim" not in _words(stray.pid):
            processes.stop(stray, patience=5)
    for component in components:
        if not processes.is_alive(processes.recorded(records, component.name)):
            refuse_taken_ports(component)
    with ThreadPoolExecutor(max_workers=len(components) + 1) as pool:
        begun: dict[str, Callable[[], object]] = {}
        for component in components:
            needs = [begun[name] for name in component.after]
            begun[component.name] = pool.submit(_ensure, places, component, needs, progress).result
        pushed = pool.submit(_push_images, places, begun["registry"], progress)
        for result in [*begun.values(), pushed.result]:
            result()


def _ensure(places: Places, component: Component, needs: list[Callable[[], object]], progress: Progress) -> None:
    for need in needs:
        need()
    records, log = places.state / "processes", places.logs / f"{component.name}.log"
    recorded = processes.recorded(records, component.name)
    if recorded and processes.is_alive(recorded):
        if _recovers(component):
            return
        processes.stop(recorded, patience=10)
    with progress.step(f"start {component.name}"):
        identity = processes.start(component.argv, log=log, env=component.environment(os.environ))
        if identity:
            processes.save(records, component.name, identity)
        wait_until(component.healthy, f"{component.name} did not become healthy", log, identity)


def _recovers(component: Component) -> bool:
    """True if a running component is healthy, or is soon after one that it needs was started anew."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while not (healthy := component.healthy()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return healthy


def _push_images(places: Places, registry: Callable[[], object], progress: Progress) -> None:
    registry()
    for image in images.ALL:
        if not images.is_pushed(image, places):
            with progress.step(f"push {image.reference}"):
                images.push(image, places, places.logs / "push.log")


def refuse_taken_ports(component: Component) -> None:
    """Raise DevClusterError, naming the program, when one of the component's ports is taken."""
    for _, port in component.listens:
        holder = processes.port_holder(port)
        if holder:
            raise DevClusterError(
                f"port {port}, which {component.name} needs, is held by {holder.program} (pid {holder.pid}); "
                "end that program and run up again."
            )


def wait_until(holds: Callable[[], bool], otherwise: str, log: Path, identity: Identity | None = None) -> None:
    """Wait until `holds`; raises DevClusterError with the log's end when it takes too long or the process has ended."""
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        if (identity and not processes.is_alive(identity)) or time.monotonic() > deadline:
            words = tail(log.read_text(errors="replace")) if log.exists() else ""
            raise DevClusterError(f"{otherwise} (log: {log}); if up fails again, run down first.\n{words}")
        time.sleep(0.1)


def _words(pid: int) -> str:
    try:
        return (processes.PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
