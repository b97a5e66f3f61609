"""What the cluster is made of: where each component listens, and how to see that it is healthy."""

import http.client
import re
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass

from devcluster import images, network, store
from devcluster.errors import DevClusterError
from devcluster.places import Places
from devcluster.programs import run

API = "https://127.0.0.1:6443"


@dataclass(frozen=True)
class Component:
    """One process, started by files/services/NAME/run; while it is healthy, `health` answers with `status`."""

    name: str
    listens: tuple[str, ...]
    health: str
    status: int = 200

    def healthy(self, places: Places) -> bool:
        """True if it answers as it should."""
        return ask(places, self.health)[0] == self.status


STORE = f"{network.NODE}:{store.PORT}"
ALL = (
    Component("registry", (images.REGISTRY,), f"http://{images.REGISTRY}/v2/"),
    Component("store", (STORE,), f"http://{STORE}/{store.BUCKET}"),
    # It opens this port when it has found its pods again, its socket before that; at the root there is nothing.
    Component("containerd", ("127.0.0.1:10010",), "http://127.0.0.1:10010/", status=404),
    Component("etcd", ("127.0.0.1:12379", "127.0.0.1:12380"), "https://127.0.0.1:12379/health"),
    Component("apiserver", ("127.0.0.1:6443",), f"{API}/readyz"),
    Component("controllers", ("127.0.0.1:10257",), "https://127.0.0.1:10257/healthz"),
    Component("scheduler", ("127.0.0.1:10259",), "https://127.0.0.1:10259/healthz"),
    # Asked for its pods it asks containerd, to which it finds back a second after containerd was started anew.
    Component("kubelet", (f"{network.NODE}:10250", "127.0.0.1:10248"), f"https://{network.NODE}:10250/runningpods/"),
)


def ask(places: Places, url: str) -> tuple[int, bytes]:
    """Status and body of a GET with the administrator's certificate; status 0 without an answer or with a wrong one."""
    try:
        context = ssl.create_default_context(cafile=places.certificates / "ca.crt")
        context.load_cert_chain(places.certificates / "admin.crt", places.certificates / "admin.key")
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        with urllib.request.build_opener(*handlers).open(url, timeout=3) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, b""
    except (OSError, http.client.HTTPException):
        return 0, b""


def refuse_taken_ports(component: Component) -> None:
    """Raise DevClusterError, naming the program, when one of the component's ports is taken."""
    for place in component.listens:
        port = place.rpartition(":")[2]
        listening = run(["ss", "-Htlnp", f"sport = :{port}"])
        if listening:
            named = re.search(r'users:\(\("(.+?)",pid=(\d+)', listening)
            holder = f"{named[1]} (pid {named[2]})" if named else "a program of another user or container"
            raise DevClusterError(
                f"port {port}, which {component.name} needs, is held by {holder}; end that program and run up again."
            )
