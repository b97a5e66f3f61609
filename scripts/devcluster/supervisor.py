"""The components' processes: kept by runit, Debian's supervisor, in a mount namespace that ends with them."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from devcluster.errors import DevClusterError
from devcluster.machine import GROUP
from devcluster.places import Places


def start(places: Places) -> None:
    """Have runit start each service, and start it anew when it ends.

    They get a small environment: a proxy must not come between the components.
    """
    (places.state / "logs").mkdir(exist_ok=True)
    path = f"{places.debian}/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    with places.log("runit").open("ab") as log:
        subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", places.state / "launch"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=places.state,
            env={"PATH": path, "HOME": "/"},
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
    for pid, program, at, groups in _all(proc):
        ours = program.is_relative_to(places.cache) and at.is_relative_to(places.state)
        if ours or f":/{GROUP}/" in groups:
            found.add(pid)
    return found


def end(places: Places) -> None:
    """Kill every process of the cluster; raises DevClusterError where one does not go or is not known as ours."""
    for _, program, at, _ in _all():
        if at.is_relative_to(places.services) and not program.is_relative_to(places.cache):
            raise DevClusterError(
                f"{program} runs in {at} and is not of {places.cache}. If the cache was moved while the cluster ran, "
                "name its new place in PODENV_DEV_CACHE; then run down again."
            )
    deadline = time.monotonic() + 20
    while alive := processes(places):
        if time.monotonic() > deadline:
            raise DevClusterError(f"processes {sorted(alive)} of the cluster do not end; look at them with ps.")
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _all(proc: Path = Path("/proc")) -> Iterator[tuple[int, Path, Path, str]]:
    """Of each process on this machine the number, the program, the working folder and the control groups."""
    for folder in proc.glob("[0-9]*"):
        # The dead have no program.
        with contextlib.suppress(OSError):
            yield (
                int(folder.name),
                (folder / "exe").readlink(),
                (folder / "cwd").readlink(),
                (folder / "cgroup").read_text(),
            )
