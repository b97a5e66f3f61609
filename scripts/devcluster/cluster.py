"""Bring the cluster up, take it down, say how it is; one that is not healthy is taken down and made anew."""

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from devcluster import certificates, config, images, kubernetes, machine, network, supervisor, supply
from devcluster.components import API, Component, all_components, ask
from devcluster.errors import DevClusterError
from devcluster.network import Network
from devcluster.places import Places, write_private
from devcluster.programs import tail
from devcluster.progress import Progress

# Seconds from the start to the first healthy answer; seen: 1 to 10.
START_SECONDS = 90.0
# Seconds in which runit starts anew what ended, and the others find back to it; seen: 1 to 5.
RECOVERY_SECONDS = 10.0
# What `down` leaves in the state folder.
KEPT = ("registry", "lock")


@dataclass(frozen=True)
class Cluster:
    """What one cluster was made with."""

    boot: str
    network: Network

    def save(self, places: Places) -> None:
        document = {"boot": self.boot, "prefix": self.network.prefix}
        write_private(places.state / "cluster.json", json.dumps(document))

    @classmethod
    def load(cls, places: Places) -> "Cluster | None":
        """The recorded cluster; None when there is none or its record cannot be read."""
        try:
            document = json.loads((places.state / "cluster.json").read_text())
            return cls(document["boot"], Network(document["prefix"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


@contextlib.contextmanager
def locked(places: Places, progress: Progress) -> Iterator[None]:
    """Only one command at a time changes the cluster; another one waits and says so."""
    with contextlib.ExitStack() as stack:
        for folder in (places.cache, places.state):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = stack.enter_context((folder / "lock").open("a+"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                progress.say(
                    f"  …      another dev-cluster command (pid {file.read().strip()}) is at work; waiting for it"
                )
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
    programs = supply.provide(places, progress)
    if anything_left(places):
        with progress.step("clear away what is left of a cluster"):
            clear(places)
    with progress.step("fresh keys and configuration"):
        net = make(places)
    components = all_components(places, net, programs)
    for component in components:
        supervisor.refuse_taken_ports(component)
    with progress.step(f"link {network.LINK} with {net.node}, and its rules"):
        machine.make_group()
        network.raise_up(net, config.API_PORT)
    with progress.step(f"start {', '.join(component.name for component in components)}"):
        supervisor.start(places, components, os.environ)
        _await_healthy(places, components[:1])
        for image in images.ALL:
            if not images.is_pushed(image, places):
                images.push(image, places, places.log("push"))
        _await_healthy(places, components)
        wait_until(lambda: is_ready(places), "the node did not become ready", places.log("kubelet"))


def make(places: Places) -> Network:
    """Write down what was before, then keys and configuration of a new cluster; returns its network."""
    net = network.choose(network.present_routes())
    machine.remember_settings(places.state / "settings.json")
    Cluster(machine.boot_id(), net).save(places)
    certificates.make(places.certificates, certificates.requests(config.NODE, net.node, net.api_service))
    stub = Path("/run/systemd/resolve/resolv.conf")
    files = {
        "containerd.toml": config.containerd(places),
        f"registries/{images.REGISTRY}/hosts.toml": config.registry_hosts(),
        "cni/10-podenv-dev.conflist": network.cni_config(net, places.state),
        "registry.json": images.registry_config(places),
        # The stub resolver of systemd listens on the host's loopback, out of a pod's reach.
        "kubelet.json": config.kubelet(places, net, str(stub) if stub.exists() else "/etc/resolv.conf"),
    }
    for user in ("controller-manager", "scheduler", "kubelet"):
        files[f"{user}.kubeconfig"] = config.kubeconfig(places, user)
    for name, text in files.items():
        write_private(places.config / name, text)
    write_private(places.kubeconfig, config.kubeconfig(places, "admin"))
    return net


def _is_healthy(places: Places) -> bool:
    """True if the cluster is whole, at once or after runit has started anew what ended."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while (rows := status(places)) and any(row.pid for row in rows):
        if all(row.healthy for row in rows):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return False


def _await_healthy(places: Places, components: Sequence[Component]) -> None:
    for component in components:
        name = component.name
        wait_until(lambda: component.healthy(places), f"{name} did not become healthy", places.log(name))  # noqa: B023


def wait_until(holds: Callable[[], bool], otherwise: str, log: Path) -> None:
    """Wait until `holds`; raises DevClusterError with the log's end when it takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            words = tail(log.read_text(errors="replace")) if log.exists() else ""
            raise DevClusterError(f"{otherwise} (log: {log}); run up again.\n{words}")
        time.sleep(0.1)


def is_ready(places: Places) -> bool:
    """True if the node takes pods and the default namespace's service account is there, which every pod needs."""
    node, account = (
        json.loads(body) if status == 200 else {}
        for status, body in (
            ask(places, f"{API}/api/v1/nodes/{config.NODE}"),
            ask(places, f"{API}/api/v1/namespaces/default/serviceaccounts/default"),
        )
    )
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
    cluster, programs = Cluster.load(places), kubernetes.built(places)
    if not cluster or not programs or cluster.boot != machine.boot_id():
        return []
    components, pids = all_components(places, cluster.network, programs), supervisor.pids(places)
    with ThreadPoolExecutor() as pool:
        healthy = list(pool.map(lambda component: component.healthy(places), components))
    rows = [
        Part(part.name, pids.get(part.name), answers and part.name in pids, ", ".join(part.listens))
        for part, answers in zip(components, healthy, strict=True)
    ]
    linked = network.is_up(cluster.network, config.API_PORT)
    pushed = all(images.is_pushed(image, places) for image in images.ALL)
    rows.append(Part("node", None, is_ready(places), cluster.network.node))
    rows.append(Part("link", None, linked, network.LINK))
    return [*rows, Part("images", None, pushed, images.REGISTRY)]


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
    return bool(supervisor.processes(places)) or any(path.name not in KEPT for path in places.state.glob("*"))


def clear(places: Places) -> None:
    """End our processes and remove what they made, save for the registry's storage."""
    supervisor.end(places)
    machine.remove_group()
    machine.unmount(places.state)
    network.take_down()
    machine.restore_settings(places.state / "settings.json")
    for path in places.state.glob("*"):
        if path.is_dir() and path.name not in KEPT:
            shutil.rmtree(path)
        elif path.name not in KEPT:
            path.unlink()
