"""What processes leave in the kernel and at fixed places: mounts, control groups, settings, pods' log folders."""

import contextlib
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

from devcluster.errors import DevClusterError
from devcluster.network import MARK
from devcluster.places import write_private
from devcluster.programs import run

CGROUPS = Path("/sys/fs/cgroup")
# The group that kubelet puts all pods into, so that they can be told from everybody else's.
GROUP = "podenv-dev"
POD_LOGS = (Path("/var/log/pods"), Path("/var/log/containers"))
# kubelet sets these, and the bridge needs the first; `down` sets them back.
SETTINGS = (
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


def mounts_below(mountinfo: str, folder: Path) -> list[Path]:
    """The mount points below `folder` in the text of /proc/self/mountinfo, the deepest first."""
    points = (Path(_unescape(line.split()[4])) for line in mountinfo.splitlines() if line.strip())
    below = [point for point in points if folder in point.parents]
    return sorted(below, key=lambda point: len(point.parts), reverse=True)


def unmount(folder: Path) -> None:
    """Unmount everything below `folder`; what is busy is detached and goes with its last user."""
    points = mounts_below(Path("/proc/self/mountinfo").read_text(), folder)
    for first in range(0, len(points), 100):
        run(["umount", "--lazy", *points[first : first + 100]])


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def group_folders() -> list[Path]:
    """Our group in each mounted hierarchy: one in version 2, one a controller in version 1, existing or not."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS / GROUP]
    return [path / GROUP for path in CGROUPS.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink()]


def make_group() -> None:
    """Make our group with every controller in it; raises DevClusterError where none may be made."""
    try:
        _make_group()
    except OSError as error:
        raise DevClusterError(
            f"control groups cannot be made in {CGROUPS} ({error.strerror}), and no pod runs without; "
            "run up on a machine of its own or in a privileged container."
        ) from None


def _make_group() -> None:
    unified = CGROUPS / "cgroup.controllers"
    if unified.exists():
        for controller in unified.read_text().split():
            with contextlib.suppress(OSError):
                (CGROUPS / "cgroup.subtree_control").write_text(f"+{controller}")
    for folder in group_folders():
        folder.mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):
            # In version 1 a new cpuset is empty, and nothing can run in it.
            own, above = folder / name, folder.parent / name
            if above.exists() and own.exists() and not own.read_text().strip():
                own.write_text(above.read_text())


def group_processes() -> set[int]:
    """Every process in our group, below it included."""
    return {
        int(pid)
        for group in group_folders()
        if group.exists()
        for folder, _, _ in os.walk(group)
        for pid in _lines(Path(folder) / "cgroup.procs")
    }


def kill_group() -> None:
    """Kill what runs in our group: the pods' processes, and theirs only."""
    deadline = time.monotonic() + 10
    while (pids := group_processes()) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def remove_group() -> None:
    """Kill what runs in our group and remove it."""
    kill_group()
    for group in group_folders():
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def read_settings() -> dict[str, str]:
    """What the kernel has now for each of SETTINGS."""
    present = {name: Path("/proc/sys") / name for name in SETTINGS}
    return {name: path.read_text().strip() for name, path in present.items() if path.exists()}


def remember_settings(file: Path, boot: str) -> None:
    """Write down SETTINGS as they are before anything of ours runs; what was written in the same boot stays."""
    if _remembered(file, boot) is None:
        write_private(file, json.dumps({"boot": boot, "settings": read_settings()}))


def restore_settings(file: Path, boot: str) -> None:
    """Set the kernel's settings back to those written down; a new boot has set them back already."""
    now = read_settings()
    for name, value in (_remembered(file, boot) or {}).items():
        if name in SETTINGS and now.get(name) != value:
            with contextlib.suppress(OSError):
                (Path("/proc/sys") / name).write_text(value)


def _remembered(file: Path, boot: str) -> dict[str, str] | None:
    try:
        document = json.loads(file.read_text())
        return dict(document["settings"]) if document["boot"] == boot else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove_traces(kubelet: Path) -> None:
    """Remove what kubelet and containerd keep at fixed places: pods' logs, and the results of our network's plugin."""
    uids = {path.name for path in kubelet.glob("pods/*")}
    pods, links = POD_LOGS
    for folder in pods.glob("*_*_*"):
        if folder.name.rpartition("_")[2] in uids:
            shutil.rmtree(folder, ignore_errors=True)
    for link in links.glob("*.log"):
        if link.is_symlink() and any(part.rpartition("_")[2] in uids for part in link.readlink().parts):
            link.unlink()
    results = Path("/var/lib/cni/results")
    for result in results.glob(f"{MARK}-*-eth0"):
        sandbox = result.name.removeprefix(f"{MARK}-").removesuffix("-eth0")
        result.unlink()
        (results / f"cni-loopback-{sandbox}-lo").unlink(missing_ok=True)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
