"""What the cluster is made of, where each part listens, and whether it is healthy."""

import re

from devcluster import images, network, store, supervisor
from devcluster.errors import DevClusterError
from devcluster.places import Places
from devcluster.programs import run

# Each is one process, started by files/services/NAME/run, and healthy when the script `check` beside that says so.
SERVICES = {
    "registry": (images.REGISTRY,),
    "store": (f"{network.NODE}:{store.PORT}",),
    "containerd": ("127.0.0.1:10010",),
    "etcd": ("127.0.0.1:12379", "127.0.0.1:12380"),
    "apiserver": ("127.0.0.1:6443",),
    "controllers": ("127.0.0.1:10257",),
    "scheduler": ("127.0.0.1:10259",),
    "kubelet": (f"{network.NODE}:10250", "127.0.0.1:10248"),
}
ALL = {**SERVICES, "link": (network.LINK, network.NODE), "images": (images.REGISTRY,)}


def healthy(places: Places) -> set[str]:
    """Those of ALL that are as they should be."""
    found = supervisor.healthy(places)
    if network.is_up(places):
        found.add("link")
    if all(images.is_pushed(image, places) for image in images.ALL):
        found.add("images")
    return found


def refuse_taken_ports(name: str, listens: tuple[str, ...]) -> None:
    """Raise DevClusterError, naming the program, when one of the ports of the service `name` is taken."""
    for place in listens:
        port = place.rpartition(":")[2]
        listening = run(["ss", "-Htlnp", f"sport = :{port}"])
        if listening:
            named = re.search(r'users:\(\("(.+?)",pid=(\d+)', listening)
            holder = f"{named[1]} (pid {named[2]})" if named else "a program of another user or container"
            raise DevClusterError(
                f"port {port}, which {name} needs, is held by {holder}; end that program and run up again."
            )
