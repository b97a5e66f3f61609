"""The pods' network: one bridge that leads nowhere, addresses that nothing else uses, and rules marked as ours."""

import contextlib
import ipaddress
import json
from collections.abc import Iterable
from pathlib import Path

from devcluster.errors import DevClusterError
from devcluster.places import Places
from devcluster.programs import run

# A bridge without a port to the outside: no other machine reaches its address. It takes the part of a dummy link, a
# kind that not every kernel has, and of the bridge that the pods hang on.
LINK = "podenv-dev0"
MARK = "podenv-dev-cluster"
# podman starts at 10.88, flannel has 10.244, Kubernetes' usual services 10.96.
WHOLE = "10.211.0.0/16"
PODS = "10.211.0.0/24"
NODE = "10.211.0.1"  # the bridge's, and the pods' gateway
SERVICES = "10.211.254.0/24"
API_SERVICE = "10.211.254.1"  # the service `kubernetes`, always the first


def refuse_taken() -> None:
    """Raise DevClusterError, naming the route, when this machine reaches something else at our addresses."""
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]))
    for route in routes:
        taken = route["dst"] != "default" and ipaddress.ip_network(WHOLE).overlaps(ipaddress.ip_network(route["dst"]))
        if taken and route.get("dev") != LINK:
            raise DevClusterError(
                f"the route to {route['dst']} (device {route.get('dev', 'none')}) overlaps {WHOLE}, which the dev "
                f"cluster needs; remove it (`ip route`) and run up again."
            )


def raise_up(places: Places) -> None:
    """Make the link and the rules; nothing of either is there."""
    run(["ip", "link", "add", LINK, "type", "bridge"])
    run(["ip", "address", "add", f"{NODE}/24", "dev", LINK])
    run(["ip", "link", "set", LINK, "up"])
    with contextlib.suppress(OSError):
        # Where /proc/sys is read-only, pods do not reach the API server; everything else works.
        Path(f"/proc/sys/net/ipv4/conf/{LINK}/route_localnet").write_text("1")
    run(["iptables-restore", "--wait", "--noflush", places.config / "rules"])


def is_up(places: Places) -> bool:
    """True if the link has the node's address, and as many rules as there should be carry our mark."""
    wanted = (places.config / "rules").read_text().count(MARK)
    return LINK in run(["ip", "-oneline", "address", "show", "to", NODE]) and len(marked(_saved())) == wanted


def take_down() -> None:
    """Remove the link, and every rule of iptables that carries our mark."""
    with contextlib.suppress(DevClusterError):
        run(["ip", "link", "delete", LINK])
    saved = _saved()
    if marked(saved):
        run(["iptables-restore", "--wait", "--noflush"], stdin=removal(saved))


def marked(saved: Iterable[str]) -> list[str]:
    """Of the lines that iptables-save prints, the rules with our mark."""
    return [line for line in saved if f"--comment {MARK} " in f"{line} "]


def removal(saved: list[str]) -> str:
    """What tells iptables-restore to delete our rules, and only these, of the lines that iptables-save prints."""
    ours = marked(saved)
    kept = [line.replace("-A", "-D", 1) for line in saved if line in ours or line.startswith(("*", "COMMIT"))]
    return "".join(f"{line}\n" for line in kept)


def _saved() -> list[str]:
    try:
        return run(["iptables-save"]).splitlines()
    except DevClusterError:
        # Not installed: then no rule can be ours.
        return []
