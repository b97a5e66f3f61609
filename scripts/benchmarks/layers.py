"""Layers of images: what a node takes to pull and unpack them from this machine's registry, zstd beside gzip."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.report import Comparison, alternate, show
from podenv import image
from podenv.catalogue.environment import Catalogue

ROOT = Path(__file__).parents[2]
ENVIRONMENT = "data-cleaning"
ROUNDS = 7
NAMESPACE = "podenv-bench"  # of containerd: Kubernetes sees none of it


def run(*words: str) -> str:
    """The last line that a program printed."""
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return (done.stdout.strip().splitlines() or [""])[-1]


def push(source: str, kind: str) -> str:
    """The content of ``source`` as one layer that no node has, compressed as ``kind``; returns its name."""
    name = f"{os.environ['PODENV_REGISTRY']}/podenv-bench-{kind}:{secrets.token_hex(4)}"
    container = run("buildah", "from", "--tls-verify=false", source)
    try:
        # Registry and builder would give a layer that they know already, compressed otherwise.
        (Path(run("buildah", "mount", container)) / "unlike").write_bytes(secrets.token_bytes(16))
        run("buildah", "commit", "--squash", "--quiet", container, name)
    finally:
        run("buildah", "rm", container)
    try:
        run("buildah", "push", "--quiet", "--tls-verify=false", "--format", "oci", "--compression-format", kind, name)
    finally:
        run("buildah", "rmi", name)
    return name


def size(name: str, kind: str) -> int:
    """Bytes of the one layer, which must be compressed as ``kind``."""
    words = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"]
    (layer,) = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)["layers"]
    assert layer["mediaType"].endswith(f"+{kind}"), layer
    return int(layer["size"])


def pull(name: str) -> None:
    """Pull and unpack as the kubelet has it done, then forget all of it."""
    ctr = ["ctr", "--namespace", NAMESPACE, "images"]
    run(*ctr, "pull", "--plain-http", "--snapshotter", "overlayfs", name)
    run(*ctr, "rm", "--sync", name)


def main() -> bool:
    """True if zstd is what the project says of it; needs a registry, buildah, skopeo, and ctr with its containerd."""
    missing = [name for name in ("buildah", "skopeo", "ctr") if shutil.which(name) is None]
    missing += [name for name in ("PODENV_REGISTRY", "CONTAINERD_ADDRESS") if not os.environ.get(name)]
    if missing:
        sys.exit(f"error: {', '.join(missing)}: not on PATH, or not set; CONTAINERD_ADDRESS is containerd's socket.")
    source = str(image.wanted(Catalogue(ROOT / "envs")[ENVIRONMENT]))
    zstd, gzip = push(source, "zstd"), push(source, "gzip")
    times = alternate(lambda: pull(zstd), lambda: pull(gzip), rounds=ROUNDS)
    megabytes = size(zstd, "zstd") / 1e6, size(gzip, "gzip") / 1e6
    return show(
        "layers",
        [
            Comparison(f"pull and unpack {ENVIRONMENT}, zstd", "gzip", *times, 1.0),
            Comparison("its size, zstd", "gzip", *megabytes, 1.05, "MB"),
        ],
    )
