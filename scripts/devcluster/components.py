"""What the cluster is made of: each component's words, where it listens and how to see that it is healthy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from devcluster import api, images, store
from devcluster.config import API_PORT, KUBELET_HEALTH_PORT, KUBELET_PORT, NODE, STREAM_PORT
from devcluster.network import Network
from devcluster.places import Places

LOOPBACK = "127.0.0.1"
# Not etcd's usual ports: another etcd may be at work.
ETCD_PORT, ETCD_PEER_PORT = 12379, 12380
CONTROLLERS_PORT, SCHEDULER_PORT = 10257, 10259
# containerd downloads images for the pods: it goes through the machine's proxy, and trusts whom the machine trusts.
PROXY = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
OUTWARD = (*PROXY, "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True)
class Component:
    """One process. `listens` are its TCP ports by address; `after` names what must be healthy before it starts."""

    name: str
    argv: tuple[str, ...]
    listens: tuple[tuple[str, int], ...]
    healthy: Callable[[], bool]
    after: tuple[str, ...] = ()
    outward: bool = False
    socket: Path | None = None

    def where(self) -> str:
        """Where it listens, for people."""
        return ", ".join(
            [*(f"{host}:{port}" for host, port in self.listens), *([str(self.socket)] if self.socket else [])]
        )

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """A small environment: a proxy must not come between the components."""
        path = f"{Path(self.argv[0]).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        kept = {name: environ[name] for name in OUTWARD if self.outward and name in environ}
        return {"PATH": path, "HOME": "/", **kept}


def all_components(places: Places, network: Network, kubernetes: Path) -> list[Component]:
    """Every component, in the order of their starting."""
    return [
        _registry(places),
        _store(places, network),
        _containerd(places),
        _etcd(places),
        _apiserver(places, network, kubernetes),
        _controllers(places, kubernetes),
        _scheduler(places, kubernetes),
        _kubelet(places, network, kubernetes),
    ]


def _registry(places: Places) -> Component:
    return Component(
        "registry",
        (str(places.debian / "usr/bin/docker-registry"), "serve", str(places.config / "registry.json")),
        ((images.REGISTRY_HOST, images.REGISTRY_PORT),),
        lambda: api.plain_status(images.REGISTRY_HOST, images.REGISTRY_PORT, "/v2/") == 200,
    )


def _store(places: Places, network: Network) -> Component:
    return Component(
        "store",
        (str(store.python(places)), "-c", store.PROGRAM, network.node, str(places.state / "store")),
        ((network.node, store.PORT),),
        lambda: api.plain_status(network.node, store.PORT, f"/{store.BUCKET}") == 200,
    )


def _containerd(places: Places) -> Component:
    return Component(
        "containerd",
        (str(places.debian / "usr/bin/containerd"), "--config", str(places.config / "containerd.toml")),
        ((LOOPBACK, STREAM_PORT),),
        # It opens this port when it has found its pods again; the socket is open before that.
        lambda: api.accepts(LOOPBACK, STREAM_PORT) and places.containerd_socket.is_socket(),
        outward=True,
        socket=places.containerd_socket,
    )


def _etcd(places: Places) -> Component:
    pair = places.certificates / "etcd"
    client, peer = f"https://{LOOPBACK}:{ETCD_PORT}", f"https://{LOOPBACK}:{ETCD_PEER_PORT}"
    flags = {
        "name": NODE,
        "data-dir": places.state / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"{NODE}={peer}",
        "unsafe-no-fsync": "true",
    }
    for side in ("", "peer-"):
        authority = places.certificates / "ca.crt"
        flags |= {f"{side}cert-file": f"{pair}.crt", f"{side}key-file": f"{pair}.key"}
        flags |= {f"{side}trusted-ca-file": authority, f"{side}client-cert-auth": "true"}
    asker = api.Asker(places.certificates, "etcd")
    return Component(
        "etcd",
        (str(places.debian / "usr/bin/etcd"), *_flags(flags)),
        ((LOOPBACK, ETCD_PORT), (LOOPBACK, ETCD_PEER_PORT)),
        lambda: asker.status(LOOPBACK, ETCD_PORT, "/health") == 200,
    )


def _apiserver(places: Places, network: Network, kubernetes: Path) -> Component:
    keys = places.certificates
    flags = {
        "etcd-servers": f"https://{LOOPBACK}:{ETCD_PORT}",
        "etcd-cafile": keys / "ca.crt",
        "etcd-certfile": keys / "etcd.crt",
        "etcd-keyfile": keys / "etcd.key",
        "bind-address": LOOPBACK,
        "secure-port": API_PORT,
        "advertise-address": network.node,
        "service-cluster-ip-range": network.services,
        "authorization-mode": "Node,RBAC",
        "anonymous-auth": "false",
        "allow-privileged": "true",
        "client-ca-file": keys / "ca.crt",
        "tls-cert-file": keys / "apiserver.crt",
        "tls-private-key-file": keys / "apiserver.key",
        "kubelet-certificate-authority": keys / "ca.crt",
        "kubelet-client-certificate": keys / "kubelet-client.crt",
        "kubelet-client-key": keys / "kubelet-client.key",
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-signing-key-file": keys / "service-accounts.key",
        "service-account-key-file": keys / "service-accounts.pub",
        "profiling": "false",
    }
    asker = api.Asker(keys)
    return Component(
        "apiserver",
        (str(kubernetes / "kube-apiserver"), *_flags(flags)),
        ((LOOPBACK, API_PORT),),
        lambda: asker.status(LOOPBACK, API_PORT, "/readyz") == 200,
        after=("etcd",),
    )


def _controllers(places: Places, kubernetes: Path) -> Component:
    keys = places.certificates
    flags = {
        "kubeconfig": places.config / "controller-manager.kubeconfig",
        "bind-address": LOOPBACK,
        "secure-port": CONTROLLERS_PORT,
        "port": 0,
        "leader-elect": "false",
        "use-service-account-credentials": "true",
        "root-ca-file": keys / "ca.crt",
        "service-account-private-key-file": keys / "service-accounts.key",
        "tls-cert-file": keys / "apiserver.crt",
        "tls-private-key-file": keys / "apiserver.key",
        "profiling": "false",
    }
    return _watching("controllers", kubernetes / "kube-controller-manager", flags, CONTROLLERS_PORT, keys)


def _scheduler(places: Places, kubernetes: Path) -> Component:
    keys = places.certificates
    flags = {
        "kubeconfig": places.config / "scheduler.kubeconfig",
        "bind-address": LOOPBACK,
        "secure-port": SCHEDULER_PORT,
        "port": 0,
        "leader-elect": "false",
        "tls-cert-file": keys / "apiserver.crt",
        "tls-private-key-file": keys / "apiserver.key",
        "profiling": "false",
    }
    return _watching("scheduler", kubernetes / "kube-scheduler", flags, SCHEDULER_PORT, keys)


def _watching(name: str, program: Path, flags: Mapping[str, object], port: int, keys: Path) -> Component:
    asker = api.Asker(keys)
    return Component(
        name,
        (str(program), *_flags(flags)),
        ((LOOPBACK, port),),
        lambda: asker.status(LOOPBACK, port, "/healthz") == 200,
        after=("apiserver",),
    )


def _kubelet(places: Places, network: Network, kubernetes: Path) -> Component:
    root = places.state / "kubelet"
    asker = api.Asker(places.certificates, "kubelet-client")
    flags = {
        "config": places.config / "kubelet.json",
        "kubeconfig": places.config / "kubelet.kubeconfig",
        "container-runtime": "remote",
        "container-runtime-endpoint": f"unix://{places.containerd_socket}",
        "root-dir": root,
        "cert-dir": root / "pki",
        "volume-plugin-dir": root / "volume-plugins",
        "hostname-override": NODE,
        "node-ip": network.node,
    }
    return Component(
        "kubelet",
        (str(kubernetes / "kubelet"), *_flags(flags)),
        ((network.node, KUBELET_PORT), (LOOPBACK, KUBELET_HEALTH_PORT)),
        # Asked for its pods it asks containerd, to which it finds back a second after containerd was started anew.
        lambda: asker.status(network.node, KUBELET_PORT, "/runningpods/") == 200,
        after=("apiserver", "containerd"),
    )


def _flags(flags: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name, value in flags.items())
