"""Kubernetes, built once from Debian's own source package."""

import os
import re
import shutil
from pathlib import Path

from devcluster import packages
from devcluster.errors import DevClusterError
from devcluster.places import Places, made_whole
from devcluster.programs import run

PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
GO = Path("/usr/lib/go-1.19/bin")

# Process 1 of every pod's sandbox: it holds the namespaces and does nothing.
PAUSE = """\
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
}
"""


def built(places: Places) -> Path | None:
    """The folder of a finished build, the newest when there are several; None before the first."""
    folder = places.cache / "kubernetes"
    whole = [path for path in folder.glob("[0-9]*") if all((path / name).is_file() for name in (*PROGRAMS, "pause"))]
    return max(whole, key=lambda path: path.stat().st_mtime, default=None)


def build(places: Places, log: Path) -> Path:
    """Build the four programs and pause; about 11 minutes on two cores. A build that was cut short starts afresh."""
    work = places.cache / "kubernetes-build"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    tree = packages.fetch_source("kubernetes", work, log)
    target = places.cache / "kubernetes" / upstream_version(tree.name)
    with made_whole(target) as making:
        _compile(tree, log)
        outputs = next((tree / "_output" / "local" / "bin" / "linux").iterdir())
        for name in PROGRAMS:
            shutil.move(outputs / name, making / name)
        _compile_pause(work, making / "pause", log)
    shutil.rmtree(work)
    return target


def upstream_version(tree: str) -> str:
    """`1.20.2` of `kubernetes-1.20.5+really1.20.2`, the name that Debian gives a tree that went back a version."""
    match = re.fullmatch(r"kubernetes-(?:.*really)?([0-9.]+)", tree)
    if not match:
        raise DevClusterError(f"the source tree {tree} carries no version of Kubernetes that is known here.")
    return match[1]


def _compile(tree: Path, log: Path) -> None:
    inside = tree / ".go" / "src" / "k8s.io" / "kubernetes"
    inside.parent.mkdir(parents=True)
    inside.symlink_to(tree)
    env = _go_environment(tree.parent) | {"GOPATH": str(tree / ".go")}
    what = " ".join(f"cmd/{name}" for name in PROGRAMS)
    run(["nice", "make", "-C", inside, f"WHAT={what}"], log=log, cwd=inside, env=env)


def _compile_pause(work: Path, target: Path, log: Path) -> None:
    source = work / "pause.go"
    source.write_text(PAUSE)
    env = _go_environment(work) | {"GO111MODULE": "off"}
    run([GO / "go", "build", "-trimpath", "-ldflags=-s -w", "-o", target, source], log=log, cwd=work, env=env)


def _go_environment(work: Path) -> dict[str, str]:
    path = f"{GO}:{os.environ['PATH']}"
    return {"PATH": path, "CGO_ENABLED": "0", "GOCACHE": str(work / "go-cache"), "GOFLAGS": "", "GOPROXY": "off"}
