"""Configuration files of the components; pure: places and addresses in, text out."""

import base64
import json

from devcluster import images
from devcluster.network import Network
from devcluster.places import Places

NODE = "podenv-dev"
API_PORT = 6443
# Where containerd streams exec and logs from.
STREAM_PORT = 10010
KUBELET_PORT = 10250
KUBELET_HEALTH_PORT = 10248
WARNING = "podenv's development cluster: one machine, no safety; not for production"


def containerd(places: Places) -> str:
    """containerd's config.toml: runc from the cache, our pause image, the local registry over plain http."""
    folder, debian = places.state / "containerd", places.debian
    return f"""\
version = 2
root = "{folder}/root"
state = "{folder}/run"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", \
"io.containerd.snapshotter.v1.devmapper", "io.containerd.tracing.processor.v1.otlp", \
"io.containerd.internal.v1.tracing"]

[grpc]
address = "{places.containerd_socket}"

[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{images.PAUSE.reference}"
stream_server_address = "127.0.0.1"
stream_server_port = "{STREAM_PORT}"
# Machines without CAP_SYS_RESOURCE may not lower a score, and every sandbox would fail.
restrict_oom_score_adj = true
# Below the state folder, where `down` finds them.
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{debian}/usr/lib/cni"
conf_dir = "{places.config}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{debian}/usr/sbin/runc"
Root = "{folder}/runc"
SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{places.config}/registries"
"""


def registry_hosts() -> str:
    """containerd's hosts.toml of the local registry."""
    return f'server = "http://{images.REGISTRY}"\n\n[host."http://{images.REGISTRY}"]\n'


def kubelet(places: Places, network: Network, resolv_conf: str) -> str:
    """KubeletConfiguration; YAML reads JSON."""
    certificates = places.certificates
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.node,
        "port": KUBELET_PORT,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": KUBELET_HEALTH_PORT,
        "tlsCertFile": str(certificates / "kubelet.crt"),
        "tlsPrivateKeyFile": str(certificates / "kubelet.key"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(certificates / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": "/podenv-dev",
        "failSwapOn": False,
        # Without kube-proxy its chains are not needed, and so `down` leaves none behind.
        "makeIPTablesUtilChains": False,
        "resolvConf": resolv_conf,
        "featureGates": {"DevicePlugins": False},
        # A developer's disk is often nearly full, and images are small.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        # The node is ready up to so long after the network is; every change counts, else once in five minutes.
        "nodeStatusUpdateFrequency": "1s",
        "nodeStatusReportFrequency": "5m",
        "eventRecordQPS": 0,
        "kubeAPIQPS": 50,
        "kubeAPIBurst": 100,
    }
    return json.dumps(settings, indent=1)


def kubeconfig(places: Places, user: str) -> str:
    """A kubeconfig for `user`, whose pair of files lies with the certificates; everything is inside it, no paths."""

    def inside(name: str) -> str:
        return base64.b64encode((places.certificates / name).read_bytes()).decode()

    cluster = {
        "server": f"https://127.0.0.1:{API_PORT}",
        "certificate-authority-data": inside("ca.crt"),
    }
    pair = {"client-certificate-data": inside(f"{user}.crt"), "client-key-data": inside(f"{user}.key")}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NODE, "cluster": cluster}],
        "users": [{"name": user, "user": pair}],
        "contexts": [{"name": NODE, "context": {"cluster": NODE, "user": user}}],
        "current-context": NODE,
    }
    return json.dumps(document, indent=1) + "\n"
