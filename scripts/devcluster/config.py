"""The cluster's files: those below files/, with this machine's folders and a fresh secret filled in; a certificate."""

import os
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from string import Template

from devcluster import images, kubernetes, network, store, supervisor, tools
from devcluster.places import Places
from devcluster.programs import run

HERE = Path(__file__).parent
# The stub resolver of systemd listens on the host's loopback, out of a pod's reach.
RESOLVERS = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))
# What a program that downloads must know.
PROXY = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
OUTWARD = (*PROXY, "SSL_CERT_FILE", "SSL_CERT_DIR")
# The one certificate: every server's, its own authority, and the administrator's. Of the machine's own configuration
# nothing is read, or an extension would come twice; without the node's own address logs and exec fail with 500.
CERTIFICATE = (
    "openssl req -x509 -config /dev/null -days 3650 -noenc -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
    "-subj /O=system:masters/CN=podenv-dev-cluster -addext basicConstraints=critical,CA:TRUE "
    "-addext keyUsage=critical,digitalSignature,keyCertSign -addext extendedKeyUsage=serverAuth,clientAuth "
    "-addext subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,"
    f"IP:127.0.0.1,IP:{network.NODE},IP:{network.API_SERVICE} -keyout cluster.key -out cluster.crt"
)


def write(places: Places) -> None:
    """Write each file below files/ to its place in the state folder, a kubeconfig for each user and the certificate."""
    exports = [f"export {name}={shlex.quote(os.environ[name])}" for name in OUTWARD if name in os.environ]
    values = {
        **vars(network),
        "state": places.state,
        "debian": places.debian,
        "kubernetes": kubernetes.folder(places),
        "store": store.folder(places),
        "store_port": store.PORT,
        "bucket": store.BUCKET,
        "tools": tools.folder(places),
        "secret": secrets.token_hex(),
        "group": supervisor.GROUP,
        "registry": images.REGISTRY,
        "pause": images.PAUSE.reference,
        "resolv_conf": next(path for path in RESOLVERS if path.exists()),
        "outward": "\n".join(exports),
    }
    for file in (HERE / "files").rglob("*"):
        if file.is_file():
            _fill(file, places.state / file.relative_to(HERE / "files"), values)
    for user in ("controllers", "scheduler", "kubelet"):
        _fill(HERE / "kubeconfig.yaml", places.config / f"{user}.kubeconfig", {**values, "user": user})
    _fill(HERE / "kubeconfig.yaml", places.kubeconfig, {**values, "user": "admin"})
    run(CERTIFICATE.split(), cwd=places.state)


def _fill(template: Path, target: Path, values: Mapping[str, object]) -> None:
    """Write `target`, for its owner only: helm warns of a kubeconfig that others read."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(Template(template.read_text()).substitute(values))
    target.chmod(template.stat().st_mode & 0o700)
