"""What the cluster is made of: each component's words, where it listens and how to see that it is healthy."""

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devcluster import images, store
from devcluster.config import API_PORT, KUBELET_HEALTH_PORT, KUBELET_PORT, NODE, STREAM_PORT
from devcluster.network import Network
from devcluster.places import Places

LOOPBACK = "127.0.0.1"
API = f"https://{LOOPBACK}:{API_PORT}"
# Not etcd's usual ports: another etcd may be at work.
ETCD, ETCD_PEER = f"{LOOPBACK}:12379", f"{LOOPBACK}:12380"
CONTROLLERS_PORT, SCHEDULER_PORT = 10257, 10259
# containerd downloads images for the pods: it goes through the machine's proxy, and trusts whom the machine trusts.
PROXY = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
OUTWARD = (*PROXY, "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True)
class Component:
    """One process: where it listens, and the address that answers with `status` while it is healthy."""

    name: str
    argv: tuple[str, ...]
    listens: tuple[str, ...]
    health: str
    status: int = 200
    outward: bool = False

    @property
    def ports(self) -> list[int]:
        """Its TCP ports."""
        return [int(place.rpartition(":")[2]) for place in self.listens if ":" in place]

    def healthy(self, places: Places) -> bool:
        """True if it answers as it should."""
        return ask(places, self.health)[0] == self.status

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """A small environment: a proxy must not come between the components."""
        path = f"{Path(self.argv[0]).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        kept = {name: environ[name] for name in OUTWARD if self.outward and name in environ}
        return {"PATH": path, "HOME": "/", **kept}


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


def all_components(places: Places, network: Network, kubernetes: Path) -> list[Component]:
    """Every component."""
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
    argv = (str(places.debian / "usr/bin/docker-registry"), "serve", str(places.config / "registry.json"))
    return Component("registry", argv, (images.REGISTRY,), f"http://{images.REGISTRY}/v2/")


def _store(places: Places, network: Network) -> Component:
    address = f"{network.node}:{store.PORT}"
    argv = (str(store.python(places)), "-c", store.PROGRAM, network.node, str(places.state / "store"))
    return Component("store", argv, (address,), f"http://{address}/{store.BUCKET}")


def _containerd(places: Places) -> Component:
    argv = (str(places.debian / "usr/bin/containerd"), "--config", str(places.config / "containerd.toml"))
    streams = f"{LOOPBACK}:{STREAM_PORT}"
    # It opens this port when it has found its pods again, the socket before that; at its root there is nothing.
    listens = (streams, str(places.containerd_socket))
    return Component("containerd", argv, listens, f"http://{streams}/", status=404, outward=True)


def _etcd(places: Places) -> Component:
    pair = places.certificates / "etcd"
    flags = {
        "name": NODE,
        "data-dir": places.state / "etcd",
        "listen-client-urls": f"https://{ETCD}",
        "advertise-client-urls": f"https://{ETCD}",
        "listen-peer-urls": f"https://{ETCD_PEER}",
        "initial-advertise-peer-urls": f"https://{ETCD_PEER}",
        "initial-cluster": f"{NODE}=https://{ETCD_PEER}",
        "unsafe-no-fsync": "true",
    }
    for side in ("", "peer-"):
        flags |= {f"{side}cert-file": f"{pair}.crt", f"{side}key-file": f"{pair}.key"}
        flags |= {f"{side}trusted-ca-file": places.certificates / "ca.crt", f"{side}client-cert-auth": "true"}
    argv = (str(places.debian / "usr/bin/etcd"), *_flags(flags))
    return Component("etcd", argv, (ETCD, ETCD_PEER), f"https://{ETCD}/health")


def _apiserver(places: Places, network: Network, kubernetes: Path) -> Component:
    keys = places.certificates
    flags = {
        "etcd-servers": f"https://{ETCD}",
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
        "service-account-key-file": keys / "service-accounts.crt",
        "profiling": "false",
    }
    argv = (str(kubernetes / "kube-apiserver"), *_flags(flags))
    return Component("apiserver", argv, (f"{LOOPBACK}:{API_PORT}",), f"{API}/readyz")


def _controllers(places: Places, kubernetes: Path) -> Component:
    keys = places.certificates
    flags = {
        "use-service-account-credentials": "true",
        "root-ca-file": keys / "ca.crt",
        "service-account-private-key-file": keys / "service-accounts.key",
    }
    return _watching(places, "controllers", kubernetes / "kube-controller-manager", CONTROLLERS_PORT, flags)


def _scheduler(places: Places, kubernetes: Path) -> Component:
    return _watching(places, "scheduler", kubernetes / "kube-scheduler", SCHEDULER_PORT, {})


def _watching(places: Places, name: str, program: Path, port: int, own: Mapping[str, object]) -> Component:
    flags = {
        "kubeconfig": places.config / f"{program.name.removeprefix('kube-')}.kubeconfig",
        "bind-address": LOOPBACK,
        "secure-port": port,
        "port": 0,
        "leader-elect": "false",
        "tls-cert-file": places.certificates / "apiserver.crt",
        "tls-private-key-file": places.certificates / "apiserver.key",
        "profiling": "false",
        **own,
    }
    address = f"{LOOPBACK}:{port}"
    return Component(name, (str(program), *_flags(flags)), (address,), f"https://{address}/healthz")


def _kubelet(places: Places, network: Network, kubernetes: Path) -> Component:
    root = places.state / "kubelet"
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
    address = f"{network.node}:{KUBELET_PORT}"
    argv = (str(kubernetes / "kubelet"), *_flags(flags))
    # Asked for its pods it asks containerd, to which it finds back a second after containerd was started anew.
    health = f"https://{address}/runningpods/"
    return Component("kubelet", argv, (address, f"{LOOPBACK}:{KUBELET_HEALTH_PORT}"), health)


def _flags(flags: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name, value in flags.items())
