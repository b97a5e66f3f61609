"""The pods' network: one bridge that leads nowhere, a subnet that nothing else uses, and rules marked as ours."""

import contextlib
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devcluster.errors import DevClusterError
from devcluster.programs import run

# A bridge without a port to the outside: no other machine reaches its address. It takes the part of a dummy link, a
# kind that not every kernel has, and of the bridge that the pods hang on.
LINK = "podenv-dev0"
MARK = "podenv-dev-cluster"
# podman starts at 10.88, flannel has 10.244, Kubernetes' usual services 10.96.
CANDIDATES = tuple(f"10.{second}" for second in range(211, 220))


@dataclass(frozen=True)
class Network:
    """The addresses of one cluster, all below `prefix`, two numbers such as "10.211"."""

    prefix: str

    @property
    def pods(self) -> str:
        return f"{self.prefix}.0.0/24"

    @property
    def node(self) -> str:
        """The node's own address: the bridge's, and the pods' gateway."""
        return f"{self.prefix}.0.1"

    @property
    def services(self) -> str:
        return f"{self.prefix}.254.0/24"

    @property
    def api_service(self) -> str:
        """The address of the service `kubernetes`, the first of all services."""
        return f"{self.prefix}.254.1"


def choose(routes: Sequence[str]) -> Network:
    """The first candidate that overlaps no destination in `routes`, such as "10.0.0.0/8"; the default route is none."""
    taken = [ipaddress.ip_network(route, strict=False) for route in routes]
    for prefix in CANDIDATES:
        whole = ipaddress.ip_network(f"{prefix}.0.0/16")
        if not any(whole.overlaps(network) for network in taken):
            return Network(prefix)
    raise DevClusterError(
        f"every subnet from {CANDIDATES[0]}.0.0/16 to {CANDIDATES[-1]}.0.0/16 overlaps a route of this machine "
        "(`ip route`); remove one of those routes and run up again."
    )


def present_routes() -> list[str]:
    """The destinations of this machine's routes, ours and the default route left out."""
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]))
    others = [route for route in routes if route.get("dev") != LINK and route.get("type") != "broadcast"]
    return [route["dst"] for route in others if route["dst"] != "default"]


def rules(network: Network, api_port: int) -> list[list[str]]:
    """iptables' words for each rule, from the table on; the order within a chain is the order here."""
    pods, elsewhere = network.pods, ["!", "-i", LINK]
    to_api = ["-i", LINK, "-d", network.api_service, "-p", "tcp", "--dport", "443"]
    return [
        # Pods reach the world as this machine, and each other and the node as themselves.
        ["nat", "POSTROUTING", "-s", pods, "!", "-d", pods, "-j", "MASQUERADE"],
        # Pods reach the API server, which listens on loopback only, at the address of its service …
        ["nat", "PREROUTING", *to_api, "-j", "DNAT", "--to-destination", f"127.0.0.1:{api_port}"],
        # … and nothing else on loopback (https://nvd.nist.gov/vuln/detail/CVE-2020-8558).
        ["filter", "INPUT", "-i", LINK, "-d", "127.0.0.0/8", "-m", "conntrack", "!", "--ctstate", "DNAT", "-j", "DROP"],
        # Other machines reach neither the node's address nor the pods.
        ["filter", "INPUT", *elsewhere, "-d", network.node, "-m", "addrtype", "!", "--src-type", "LOCAL", "-j", "DROP"],
        ["filter", "FORWARD", "-i", LINK, "-j", "ACCEPT"],
        ["filter", "FORWARD", "-o", LINK, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"],
        ["filter", "FORWARD", *elsewhere, "-o", LINK, "-j", "DROP"],
    ]


def raise_up(network: Network, api_port: int) -> None:
    """Make the link and the rules; nothing of either is there."""
    run(["ip", "link", "add", LINK, "type", "bridge"])
    run(["ip", "address", "add", f"{network.node}/24", "dev", LINK])
    run(["ip", "link", "set", LINK, "up"])
    with contextlib.suppress(OSError):
        # Where /proc/sys is read-only, pods do not reach the API server; everything else works.
        Path(f"/proc/sys/net/ipv4/conf/{LINK}/route_localnet").write_text("1")
    # Inserted before all others, so the last goes in first.
    for table, chain, *match in reversed(rules(network, api_port)):
        run(["iptables", "--wait", "-t", table, "-I", chain, *match, "-m", "comment", "--comment", MARK])


def is_up(network: Network, api_port: int) -> bool:
    """True if the link has the node's address, and as many rules as there should be carry our mark."""
    addressed = run(["ip", "-oneline", "address", "show", "to", network.node])
    return LINK in addressed and len(_ours("filter")) + len(_ours("nat")) == len(rules(network, api_port))


def take_down() -> None:
    """Remove the link, and every rule of iptables that carries our mark."""
    with contextlib.suppress(DevClusterError):
        run(["ip", "link", "delete", LINK])
    for table in ("filter", "nat"):
        for rule in _ours(table):
            run(["iptables", "--wait", "-t", table, "-D", *rule])


def marked(saved: str) -> list[list[str]]:
    """Of the text that iptables-save prints, the rules with our mark: chain and words."""
    appended = (line.split()[1:] for line in saved.splitlines() if line.startswith("-A "))
    return [rule for rule in appended if MARK in rule]


def _ours(table: str) -> list[list[str]]:
    try:
        return marked(run(["iptables-save", "-t", table]))
    except DevClusterError:
        # Not installed: then no rule can be ours.
        return []


def cni_config(network: Network, state: Path) -> str:
    """The network that containerd puts pods on; no portmap, as a host port would be open to other machines."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": network.pods, "gateway": network.node}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(state / "cni" / "addresses"),
    }
    bridge = {"type": "bridge", "bridge": LINK, "isGateway": True, "hairpinMode": True, "ipam": addresses}
    return json.dumps({"cniVersion": "0.4.0", "name": MARK, "plugins": [bridge]}, indent=1)
