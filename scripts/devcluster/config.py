"""The cluster's files: those below files/, with the addresses and folders of this machine filled in."""

import os
import shlex
from pathlib import Path
from string import Template

from devcluster import images, kubernetes, machine, network, store
from devcluster.places import Places, write_private

HERE = Path(__file__).parent
# The stub resolver of systemd listens on the host's loopback, out of a pod's reach.
RESOLVERS = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))
# What a program that downloads must know.
PROXY = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
OUTWARD = (*PROXY, "SSL_CERT_FILE", "SSL_CERT_DIR")


def write(places: Places) -> None:
    """Write each file below files/ to the same place in the state folder, and a kubeconfig for each user."""
    exports = [f"export {name}={shlex.quote(os.environ[name])}" for name in OUTWARD if name in os.environ]
    values = {
        "state": places.state,
        "debian": places.debian,
        "kubernetes": kubernetes.built(places),
        "store": places.store,
        "group": machine.GROUP,
        "link": network.LINK,
        "mark": f"-m comment --comment {network.MARK}",
        "node": network.NODE,
        "pods": network.PODS,
        "services": network.SERVICES,
        "api_service": network.API_SERVICE,
        "registry": images.REGISTRY,
        "pause": images.PAUSE.reference,
        "store_port": store.PORT,
        "bucket": store.BUCKET,
        "resolv_conf": next(path for path in RESOLVERS if path.exists()),
        "outward": "\n".join(exports),
    }
    for file in (HERE / "files").rglob("*"):
        if file.is_file():
            target = places.state / file.relative_to(HERE / "files")
            write_private(target, Template(file.read_text()).substitute(values))
            target.chmod(file.stat().st_mode & 0o700)
    kubeconfig = Template((HERE / "kubeconfig.yaml").read_text())
    write_private(places.kubeconfig, kubeconfig.substitute(values, user="admin"))
    for user in ("controller-manager", "scheduler", "kubelet"):
        write_private(places.config / f"{user}.kubeconfig", kubeconfig.substitute(values, user=user))
