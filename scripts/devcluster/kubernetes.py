"""Kubernetes, built once from Debian's own source package."""

import os
import shutil
from pathlib import Path

from devcluster import packages
from devcluster.places import Places, made_whole
from devcluster.programs import run

PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
GO = Path("/usr/lib/go-1.19/bin")
PAUSE = Path(__file__).with_name("pause.go")


def built(places: Places) -> Path | None:
    """The folder of a finished build, the newest when there are several; None before the first."""
    folders = (places.cache / "kubernetes").glob("[!.]*")
    whole = [path for path in folders if all((path / name).is_file() for name in (*PROGRAMS, "pause"))]
    return max(whole, key=lambda path: path.stat().st_mtime, default=None)


def build(places: Places, log: Path) -> None:
    """Build the four programs and pause. A build that was cut short starts afresh."""
    work = places.cache / "kubernetes-build"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    tree = packages.fetch_source("kubernetes", work, log)
    inside = tree / ".go" / "src" / "k8s.io" / "kubernetes"
    inside.parent.mkdir(parents=True)
    inside.symlink_to(tree)
    go = {
        "PATH": f"{GO}:{os.environ['PATH']}",
        "CGO_ENABLED": "0",
        "GOCACHE": str(work / "go-cache"),
        "GOFLAGS": "",
        "GOPROXY": "off",
    }
    with made_whole(places.cache / "kubernetes" / tree.name) as making:
        what = " ".join(f"cmd/{name}" for name in PROGRAMS)
        run(["nice", "make", "-C", inside, f"WHAT={what}"], log=log, cwd=inside, env=go | {"GOPATH": str(tree / ".go")})
        outputs = next((tree / "_output" / "local" / "bin" / "linux").iterdir())
        for name in PROGRAMS:
            shutil.move(outputs / name, making / name)
        pause: list[str | Path] = [GO / "go", "build", "-trimpath", "-ldflags=-s -w", "-o", making / "pause", PAUSE]
        run(pause, log=log, cwd=work, env=go | {"GO111MODULE": "off"})
    shutil.rmtree(work)
