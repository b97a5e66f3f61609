"""One authority and the certificates below it, made fresh for each cluster by openssl; every key has mode 0600."""

from pathlib import Path

from devcluster.network import API_SERVICE, NODE
from devcluster.programs import run

# Of the machine's own configuration nothing is read, or an extension would come twice.
NEW = ["openssl", "req", "-x509", "-sha256", "-days", "3650", "-config", "/dev/null"]
NEW += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
AUTHORITY = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
PARTY = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature"]
PARTY += ["extendedKeyUsage=serverAuth,clientAuth"]

# Kubernetes takes O for a group.
SUBJECTS = {
    "etcd": "/CN=etcd",
    "apiserver": "/CN=kube-apiserver",
    "kubelet-client": "/O=system:masters/CN=kube-apiserver-kubelet-client",
    "admin": "/O=system:masters/CN=podenv-dev-admin",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "kubelet": "/O=system:nodes/CN=system:node:podenv-dev",
    "service-accounts": "/CN=service-accounts",  # only its key is used
}
HERE = f"DNS:localhost,IP:127.0.0.1,IP:{NODE}"
NAMES = {
    "etcd": HERE,
    "apiserver": f"{HERE},IP:{API_SERVICE},DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc",
    # Without the node's own address here, logs and exec fail with 500.
    "kubelet": f"{HERE},DNS:podenv-dev",
}


def make(folder: Path) -> None:
    """Fill `folder` with ca.crt and ca.key, and such a pair for each of SUBJECTS."""
    folder.mkdir(parents=True, mode=0o700)
    _make(folder / "ca", "/CN=podenv-dev-cluster", AUTHORITY)
    for name, subject in SUBJECTS.items():
        extensions = [*PARTY, f"subjectAltName={NAMES[name]}"] if name in NAMES else PARTY
        _make(folder / name, subject, extensions, "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key")


def _make(pair: Path, subject: str, extensions: list[str], *signer: str | Path) -> None:
    added = [word for extension in extensions for word in ("-addext", extension)]
    run([*NEW, "-subj", subject, *added, *signer, "-keyout", f"{pair}.key", "-out", f"{pair}.crt"])
