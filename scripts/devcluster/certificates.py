"""One authority and the certificates below it, made fresh for each cluster by openssl; every key has mode 0600."""

from dataclasses import dataclass
from pathlib import Path

from devcluster.places import write_private
from devcluster.programs import run

VALID_DAYS = 3650


@dataclass(frozen=True)
class Request:
    """Who a certificate speaks for: `name` (CN), `group` (O, what Kubernetes takes for a group), alternative names."""

    file: str
    name: str
    group: str = ""
    alternatives: tuple[str, ...] = ()


def requests(node_name: str, node_address: str, service_address: str) -> list[Request]:
    """Every certificate of the cluster; the two addresses are the node's and the first service's."""
    api_names = ("DNS:localhost", "DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc")
    api_addresses = ("IP:127.0.0.1", f"IP:{node_address}", f"IP:{service_address}")
    # Without the node's own address here, logs and exec fail with 500.
    node_names = (f"DNS:{node_name}", "IP:127.0.0.1", f"IP:{node_address}")
    return [
        Request("etcd", "etcd", alternatives=("DNS:localhost", "IP:127.0.0.1")),
        Request("apiserver", "kube-apiserver", alternatives=(*api_names, *api_addresses)),
        Request("kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
        Request("admin", "podenv-dev-admin", "system:masters"),
        Request("controller-manager", "system:kube-controller-manager"),
        Request("scheduler", "system:kube-scheduler"),
        Request("kubelet", f"system:node:{node_name}", "system:nodes", node_names),
    ]


def make(folder: Path, wanted: list[Request]) -> None:
    """Fill `folder` with ca.crt, ca.key, service-accounts.key and .pub, and a pair for each request."""
    folder.mkdir(parents=True, mode=0o700)
    _sign(folder, Request("ca", "podenv-dev-cluster"), authority=None)
    for request in wanted:
        _sign(folder, request, authority="ca")
    key = folder / "service-accounts.key"
    _new_key(key)
    write_private(key.with_suffix(".pub"), run(["openssl", "pkey", "-in", key, "-pubout"]))


def openssl_config(request: Request, *, authority: bool) -> str:
    """What openssl is told about one certificate."""
    group = f"O = {request.group}\n" if request.group else ""
    if authority:
        extensions = "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\n"
    else:
        extensions = (
            "basicConstraints = critical, CA:FALSE\n"
            "keyUsage = critical, digitalSignature\n"
            "extendedKeyUsage = serverAuth, clientAuth\n"
        )
    if request.alternatives:
        extensions += f"subjectAltName = {', '.join(request.alternatives)}\n"
    return (
        "[req]\nprompt = no\ndistinguished_name = subject\nx509_extensions = extensions\n"
        f"[subject]\n{group}CN = {request.name}\n"
        f"[extensions]\nsubjectKeyIdentifier = hash\n{extensions}"
    )


def _sign(folder: Path, request: Request, *, authority: str | None) -> None:
    config, key, certificate = (folder / f"{request.file}.{kind}" for kind in ("cnf", "key", "crt"))
    config.write_text(openssl_config(request, authority=authority is None))
    _new_key(key)
    signer: list[str | Path] = []
    if authority:
        signer = ["-CA", folder / f"{authority}.crt", "-CAkey", folder / f"{authority}.key"]
    days = ["-days", str(VALID_DAYS), "-sha256"]
    run(["openssl", "req", "-x509", "-new", "-config", config, "-key", key, *signer, *days, "-out", certificate])
    config.unlink()


def _new_key(path: Path) -> None:
    write_private(path, run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]))
