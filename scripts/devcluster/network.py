"""The pods' network: one bridge that leads nowhere, addresses that nothing else uses, and rules marked as ours."""

import contextlib
import ipaddress
import json
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
SYSCTL = Path("/proc/sys/net/ipv4")
# What the setting was before the bridge of the pods sets it; a new boot forgets both.
FORWARD_BEFORE = Path("/run/podenv-dev-cluster.ip_forward")


def refuse_taken() -> None:
    """Raise DevClusterError, naming the route, when this machine reaches something else at our addresses."""
    for route in json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"])):
        others = route["dst"] != "default" and route.get("dev") != LINK
        if others and ipaddress.ip_network(WHOLE).overlaps(ipaddress.ip_network(route["dst"])):
            raise DevClusterError(
                f"the route to {route['dst']} (device {route.get('dev', 'none')}) overlaps {WHOLE}, which the dev "
                f"cluster needs; remove it (`ip route`) and run up again."
            )


def raise_up(places: Places) -> None:
    """Make the link and the rules; nothing of either is there."""
    FORWARD_BEFORE.write_text((SYSCTL / "ip_forward").read_text())
    run(["ip", "link", "add", LINK, "type", "bridge"])
    run(["ip", "address", "add", f"{NODE}/24", "dev", LINK])
    run(["ip", "link", "set", LINK, "up"])
    with contextlib.suppress(OSError):
        # Where /proc/sys is read-only, pods do not reach the API server; everything else works.
        (SYSCTL / "conf" / LINK / "route_localnet").write_text("1")
    run(["iptables-restore", "--wait", "--noflush", places.config / "rules"])


def is_up(places: Places) -> bool:
    """True if the link has the node's address, and as many rules as there should be carry our mark."""
    wanted = (places.config / "rules").read_text().count(MARK)
    address = run(["ip", "-oneline", "address", "show", "to", NODE])
    return LINK in address and run(["iptables-save"]).count(MARK) == wanted


def take_down() -> None:
    """Remove the link and every rule of iptables that carries our mark, and set back what was remembered."""
    with contextlib.suppress(DevClusterError):
        run(["ip", "link", "delete", LINK])
    run(["iptables-restore", "--wait", "--noflush"], stdin=removal(run(["iptables-save"])))
    with contextlib.suppress(OSError):
        (SYSCTL / "ip_forward").write_text(FORWARD_BEFORE.read_text())
        FORWARD_BEFORE.unlink()


def removal(saved: str) -> str:
    """What tells iptables-restore to delete our rules, and only these, of what iptables-save prints."""
    kept = [
        line.replace("-A", "-D", 1)
        for line in saved.splitlines(keepends=True)
        if line.startswith(("*", "COMMIT")) or f"--comment {MARK} " in line
    ]
    return "".join(kept)
