"""One authority and the certificates below it, made fresh for each cluster by openssl; every key has mode 0600."""

from dataclasses import dataclass
from pathlib import Path

from devcluster.programs import run

NEW = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
# Of the machine's own configuration nothing is read, or an extension would come twice.
FIXED = ["-sha256", "-days", "3650", "-config", "/dev/null"]


@dataclass(frozen=True)
class Request:
    """Who a certificate speaks for: `subject`, its group (O) being what Kubernetes takes for one; other names."""

    file: str
    subject: str
    alternatives: tuple[str, ...] = ()


def requests(node_name: str, node_address: str, service_address: str) -> list[Request]:
    """Every certificate of the cluster; the two addresses are the node's and the first service's."""
    api_names = ("DNS:localhost", "DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc")
    here = ("IP:127.0.0.1", f"IP:{node_address}")
    # Without the node's own address here, logs and exec fail with 500.
    node_names = (f"DNS:{node_name}", *here)
    return [
        Request("etcd", "/CN=etcd", ("DNS:localhost", "IP:127.0.0.1")),
        Request("apiserver", "/CN=kube-apiserver", (*api_names, *here, f"IP:{service_address}")),
        Request("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
        Request("admin", "/O=system:masters/CN=podenv-dev-admin"),
        Request("controller-manager", "/CN=system:kube-controller-manager"),
        Request("scheduler", "/CN=system:kube-scheduler"),
        Request("kubelet", f"/O=system:nodes/CN=system:node:{node_name}", node_names),
        # Only its key is used.
        Request("service-accounts", "/CN=service-accounts"),
    ]


def make(folder: Path, wanted: list[Request]) -> None:
    """Fill `folder` with the authority, ca.crt and ca.key, and a pair of files for each request."""
    folder.mkdir(parents=True, mode=0o700)
    authority = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
    _make(folder, Request("ca", "/CN=podenv-dev-cluster"), authority)
    signer = ["-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key")]
    for request in wanted:
        names = [f"subjectAltName={','.join(request.alternatives)}"] if request.alternatives else []
        usage = ["keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth,clientAuth"]
        _make(folder, request, ["basicConstraints=critical,CA:FALSE", *usage, *names], signer)


def _make(folder: Path, request: Request, extensions: list[str], signer: list[str] | None = None) -> None:
    files = ["-keyout", str(folder / f"{request.file}.key"), "-out", str(folder / f"{request.file}.crt")]
    added = [word for extension in extensions for word in ("-addext", extension)]
    run([*NEW, *FIXED, "-subj", request.subject, *added, *(signer or []), *files])
