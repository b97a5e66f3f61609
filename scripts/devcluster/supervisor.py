"""The components' processes: kept by runit, Debian's supervisor, in a mount namespace that ends with them."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from devcluster.components import Component
from devcluster.errors import DevClusterError
from devcluster.machine import GROUP
from devcluster.places import Places
from devcluster.programs import run

# Mounts that kubelet and containerd make are seen by nobody else and go with the last process, and what these two
# write at fixed places goes to the state folder.
LAUNCH = """\
set -eu
for folder in /var/log/pods /var/log/containers /var/lib/cni /run/containerd; do
    mkdir -p "$folder" "$1/private$folder"
    mount --bind "$1/private$folder" "$folder"
done
exec runsvdir -P "$1/services"
"""


def start(places: Places, components: Sequence[Component], environ: Mapping[str, str]) -> None:
    """Have runit start each component, and start it anew when it ends."""
    (places.state / "logs").mkdir(exist_ok=True)
    for component in components:
        service = places.services / component.name / "run"
        service.parent.mkdir(parents=True)
        settings = shlex.join(f"{name}={value}" for name, value in component.environment(environ).items())
        log = shlex.quote(str(places.log(component.name)))
        service.write_text(f"#!/bin/sh\nexec >>{log} 2>&1\nexec env -i {settings} {shlex.join(component.argv)}\n")
        service.chmod(0o755)
    launch = ["unshare", "--mount", "--propagation", "private", "sh", "-c", LAUNCH, "sh", str(places.state)]
    path = f"{places.debian}/usr/bin:{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    with places.log("runit").open("ab") as log_file:
        subprocess.Popen(
            launch,
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            cwd=places.state,
            env={"PATH": path},
            start_new_session=True,
        ).returncode = 0  # It is meant to outlive this command, which does not wait for it.


def pids(places: Places) -> dict[str, int]:
    """The process of each component that runs, as runit tells."""
    folders = sorted(places.services.glob("*"))
    told = re.findall(r"^run: .*/(.+): \(pid (\d+)\)", control(places, "status", *folders), re.MULTILINE)
    return {name: int(pid) for name, pid in told}


def control(places: Places, command: str, *services: Path) -> str:
    """What runit's `sv` says to one of its commands: status, pause, cont, kill …"""
    argv: list[str | Path] = [places.debian / "usr/bin/sv", command, *services]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout if services else ""


def processes(places: Places, proc: Path = Path("/proc")) -> set[int]:
    """Every process of the cluster: the pods' by their control group, all others by their program and folder."""
    found = set()
    for folder in proc.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # The dead have no program.
            program, at = (f"{(folder / link).readlink()}/" for link in ("exe", "cwd"))
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
            ours = program.startswith(f"{places.cache}/") and f"{places.state}/" in f"{at} {words}"
            if ours or f":/{GROUP}/" in (folder / "cgroup").read_text():
                found.add(int(folder.name))
    return found


def end(places: Places) -> None:
    """Kill every process of the cluster; raises DevClusterError where one does not go."""
    deadline = time.monotonic() + 20
    while alive := processes(places):
        if time.monotonic() > deadline:
            raise DevClusterError(f"processes {sorted(alive)} of the cluster do not end; look at them with ps.")
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def refuse_taken_ports(component: Component) -> None:
    """Raise DevClusterError, naming the program, when one of the component's ports is taken."""
    for port in component.ports:
        listening = run(["ss", "-Htlnp", f"sport = :{port}"])
        if listening:
            named = re.search(r'users:\(\("(.+?)",pid=(\d+)', listening)
            holder = f"{named[1]} (pid {named[2]})" if named else "a program of another user or container"
            raise DevClusterError(
                f"port {port}, which {component.name} needs, is held by {holder}; end that program and run up again."
            )
