"""Kubernetes, built once from Debian's own source package."""

import os
import shutil
import tempfile
from pathlib import Path

from devcluster import packages
from devcluster.places import Places
from devcluster.programs import run

PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
GO = Path("/usr/lib/go-1.19/bin")


def folder(places: Places) -> Path:
    """The build in the cache, whatever its name, for Debian 12 has one version only; without one, where it will be."""
    parent = places.cache / "kubernetes"
    return next(parent.glob("[!.]*"), parent / "1.20")


def build(target: Path, log: Path) -> None:
    """Build the four programs."""
    with tempfile.TemporaryDirectory(dir=target) as work:
        tree = packages.fetch_source("kubernetes", Path(work), log)
        inside = tree / ".go" / "src" / "k8s.io" / "kubernetes"
        inside.parent.mkdir(parents=True)
        inside.symlink_to(tree)
        go = {
            "PATH": f"{GO}:{os.environ['PATH']}",
            "GOPATH": str(tree / ".go"),
            "GOCACHE": f"{work}/go-cache",
            "GOFLAGS": "",
            "GOPROXY": "off",
            "CGO_ENABLED": "0",
        }
        what = " ".join(f"cmd/{name}" for name in PROGRAMS)
        run(["nice", "make", "-C", inside, f"WHAT={what}"], log=log, cwd=inside, env=go)
        outputs = next((tree / "_output" / "local" / "bin" / "linux").iterdir())
        for name in PROGRAMS:
            shutil.move(outputs / name, target / name)
