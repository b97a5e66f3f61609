"""Bring the cluster up, whatever state it was left in; take it down; say how it is."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from devcluster import api, certificates, config, images, kubernetes, leftovers, network, processes, supply
from devcluster.components import LOOPBACK, Component, all_components
from devcluster.network import Network
from devcluster.places import Places, write_private
from devcluster.processes import Identity
from devcluster.progress import Progress
from devcluster.starting import start, wait_until


@dataclass(frozen=True)
class Cluster:
    """What one cluster was made with; it is written last, so a half-made one has no such record."""

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
    """Make the cluster run: start what is missing; a cluster of an earlier boot or a half-made one is made anew."""
    cluster = Cluster.load(places)
    programs = kubernetes.built(places)
    if cluster and programs and all(part.healthy for part in parts(places, cluster, programs)):
        progress.say("  ok     the cluster is up already")
        return
    programs = supply.provide(places, progress)
    if cluster is None or cluster.boot != boot_id():
        if anything_left(places):
            with progress.step("clear away what an earlier cluster left"):
                clear(places)
        cluster = make(places, progress)
    with progress.step(f"link {network.LINK} with {cluster.network.node}, and its rules"):
        leftovers.remember_settings(places.state / "settings.json", cluster.boot)
        leftovers.make_group()
        if network.raise_up(cluster.network, config.API_PORT):
            # Pods of before hang on a link that is gone; kubelet starts them anew.
            leftovers.kill_group()
    start(places, all_components(places, cluster.network, programs), progress)
    with progress.step("node ready, service accounts made"):
        wait_until(lambda: is_ready(places), "the node did not become ready", places.logs / "kubelet.log")


def make(places: Places, progress: Progress) -> Cluster:
    """Write keys and configuration of a new cluster."""
    cluster = Cluster(boot_id(), network.choose(network.present_routes()))
    net = cluster.network
    with progress.step("fresh keys and configuration"):
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
        files |= {
            f"{user}.kubeconfig": config.kubeconfig(places, user)
            for user in ("controller-manager", "scheduler", "kubelet")
        }
        for name, text in files.items():
            write_private(places.config / name, text)
        write_private(places.kubeconfig, config.kubeconfig(places, "admin"))
        cluster.save(places)
    return cluster


def is_ready(places: Places) -> bool:
    """True if the node takes pods and the default namespace's service account is there, which every pod needs."""
    asker = api.Asker(places.certificates)
    node = asker.document(LOOPBACK, config.API_PORT, f"/api/v1/nodes/{config.NODE}") or {}
    conditions = node.get("status", {}).get("conditions", [])
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    return ready and bool((asker.document(LOOPBACK, config.API_PORT, account) or {}).get("secrets"))


@dataclass(frozen=True)
class Part:
    """A row of `status`."""

    name: str
    pid: int | None
    healthy: bool
    where: str


def parts(places: Places, cluster: Cluster, programs: Path) -> list[Part]:
    """How each part of the cluster is, asked side by side."""
    components = all_components(places, cluster.network, programs)
    with ThreadPoolExecutor(max_workers=len(components) + 4) as pool:
        link = pool.submit(network.is_up, cluster.network)
        rules = pool.submit(network.has_rules, cluster.network, config.API_PORT)
        bases = [pool.submit(images.is_pushed, image, places) for image in images.ALL]
        node = pool.submit(is_ready, places)
        rows = list(pool.map(lambda component: _part(places, component), components))
        rows.append(Part("node", None, node.result(), cluster.network.node))
        rows.append(Part("link", None, link.result() and rules.result(), network.LINK))
        rows.append(Part("images", None, all(base.result() for base in bases), images.REGISTRY))
    return rows


def _part(places: Places, component: Component) -> Part:
    identity = processes.recorded(places.state / "processes", component.name)
    alive = processes.is_alive(identity)
    pid = identity.pid if identity and alive else None
    return Part(component.name, pid, alive and component.healthy(), component.where())


def status(places: Places) -> list[Part]:
    """The rows of the present cluster; empty when there is none."""
    cluster, programs = Cluster.load(places), kubernetes.built(places)
    return parts(places, cluster, programs) if cluster and programs else []


def down(places: Places, progress: Progress, *, registry: bool = False) -> None:
    """Remove everything that `up` made save the cache; the registry's storage goes when `registry` says so."""
    if not anything_left(places):
        progress.say("  ok     nothing is running")
    else:
        with progress.step("end processes, remove mounts, link, rules and state"):
            clear(places)
    if registry:
        shutil.rmtree(places.registry, ignore_errors=True)


def anything_left(places: Places) -> bool:
    """True if a cluster, or a part of one, is left."""
    kept = {"registry", "lock"}
    files = [path for path in places.state.glob("*") if path.name not in kept] if places.state.exists() else []
    return bool(files) or any(processes.belonging_to(places.cache, places.state)) or bool(leftovers.group_processes())


def clear(places: Places) -> None:
    """End our processes and remove what they made; the order matters, so that nothing makes anew what was removed."""
    records = places.state / "processes"
    alive = {
        path.stem: identity for path in records.glob("*.json") if (identity := processes.recorded(records, path.stem))
    }
    if "kubelet" in alive:
        processes.stop(alive.pop("kubelet"), patience=5)
    leftovers.remove_group()
    _stop_all([alive.pop(name) for name in ("controllers", "scheduler", "apiserver", "containerd") if name in alive])
    _stop_all([*alive.values(), *processes.belonging_to(places.cache, places.state)])
    leftovers.remove_group()
    leftovers.unmount(places.state)
    network.take_down()
    leftovers.restore_settings(places.state / "settings.json", boot_id())
    leftovers.remove_traces(places.state / "kubelet")
    for path in places.state.glob("*"):
        if path.name in ("registry", "lock"):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _stop_all(identities: list[Identity]) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(lambda identity: processes.stop(identity, patience=5), identities))


def boot_id() -> str:
    """Differs after each boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
