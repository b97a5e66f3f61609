"""The processes of the cluster: services that runit, Debian's supervisor, keeps, in a control group of their own."""

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from devcluster.errors import DevClusterError
from devcluster.places import Places
from devcluster.programs import run

CGROUPS = Path("/sys/fs/cgroup")
# Everything of the cluster is in it, pods and all, and so can be told from everybody else's.
GROUP = "podenv-dev"


def start(places: Places) -> None:
    """Have runit start each service, and start it anew when it ends; all of them outlive this command."""
    inside: list[str | Path] = ["unshare", "--mount", "--propagation", "private", places.state / "launch"]
    run(["setsid", "--fork", *inside, group() / "services"], log=places.log("runit"), cwd=places.state)


def pids(places: Places) -> dict[str, int]:
    """The process of each component that runs, as runit tells."""
    told = re.findall(r"^run: .*/(.+): \(pid (\d+)\)", control(places, "status"), re.MULTILINE)
    return {name: int(pid) for name, pid in told}


def healthy(places: Places) -> set[str]:
    """The components that run, and whose scripts `check` say that they are well."""
    return set(re.findall(r"^ok: run: .*/(.+): ", control(places, "check"), re.MULTILINE))


def control(places: Places, command: str, name: str = "*") -> str:
    """What runit's `sv` says to one of its commands (status, check, pause, cont, kill …) for one component or all."""
    services = sorted(places.services.glob(name))
    argv: list[str | Path] = [places.debian / "usr/bin/sv", "-w0", command, *services]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout if services else ""


def processes() -> set[int]:
    """Every process of the cluster."""
    found: set[int] = set()
    for folder, _, _ in os.walk(group()):
        # A pod's group may be gone by now.
        with contextlib.suppress(OSError):
            found.update(int(pid) for pid in Path(folder, "cgroup.procs").read_text().split())
    return found


def end() -> None:
    """Kill every process of the cluster and remove their group; raises DevClusterError where one does not go."""
    deadline = time.monotonic() + 20
    while alive := processes():
        if time.monotonic() > deadline:
            raise DevClusterError(f"processes {sorted(alive)} of the cluster do not end; look at them with ps.")
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    for made in group_folders():
        for folder, _, _ in os.walk(made, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def make_group() -> None:
    """Make our group with every controller in it; raises DevClusterError where none may be made."""
    unified = CGROUPS / "cgroup.controllers"
    for controller in unified.read_text().split() if unified.exists() else ():
        with contextlib.suppress(OSError):
            (CGROUPS / "cgroup.subtree_control").write_text(f"+{controller}")
    try:
        for folder in group_folders():
            folder.mkdir(exist_ok=True)
    except OSError as error:
        raise DevClusterError(
            f"control groups cannot be made in {CGROUPS} ({error.strerror}), and no pod runs without; "
            "run up on a machine of its own or in a privileged container."
        ) from None


def group_folders() -> list[Path]:
    """Our group in each mounted hierarchy: one in version 2, one a controller in version 1, existing or not."""
    roots = [*CGROUPS.glob("cgroup.procs")] or [*CGROUPS.glob("*/cgroup.procs")]
    return [file.parent / GROUP for file in roots if not file.parent.is_symlink()]


def group() -> Path:
    """The one that tells of our processes: of the many of version 1, one that a process enters without more ado."""
    return next(folder for folder in group_folders() if folder.parent.name in (CGROUPS.name, "pids"))
