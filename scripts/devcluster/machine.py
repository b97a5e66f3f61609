"""What the kernel keeps for the cluster and `down` sets back: control groups, a setting, mounts of an older version."""

import contextlib
import json
import os
from pathlib import Path

from devcluster.errors import DevClusterError
from devcluster.places import write_private
from devcluster.programs import run

CGROUPS = Path("/sys/fs/cgroup")
# The group that kubelet puts all pods into, so that they can be told from everybody else's.
GROUP = "podenv-dev"
SYSCTL = Path("/proc/sys")
# The bridge of the pods sets it.
FORWARD = "net/ipv4/ip_forward"


def boot_id() -> str:
    """Differs after each boot of the machine."""
    return (SYSCTL / "kernel/random/boot_id").read_text().strip()


def unmount(folder: Path) -> None:
    """Unmount what is below `folder` before that is removed; what is busy is detached and goes with its last user."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in reversed(points):
        if point.startswith(f"{folder}/"):
            run(["umount", "--lazy", point])


def group_folders() -> list[Path]:
    """Our group in each mounted hierarchy: one in version 2, one a controller in version 1, existing or not."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS / GROUP]
    return [path / GROUP for path in CGROUPS.iterdir() if (path / "cgroup.procs").exists() and not path.is_symlink()]


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


def remove_group() -> None:
    """Remove our group, in which no process is left."""
    for group in group_folders():
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def remember_settings(file: Path) -> None:
    """Write down the kernel's setting as it is before anything of ours runs."""
    settings = {FORWARD: (SYSCTL / FORWARD).read_text().strip()}
    write_private(file, json.dumps({"boot": boot_id(), "settings": settings}))


def restore_settings(file: Path) -> None:
    """Set back what was written down; a new boot has done so already."""
    with contextlib.suppress(OSError, ValueError):
        document = json.loads(file.read_text())
        for name, value in document["settings"].items() if document["boot"] == boot_id() else ():
            (SYSCTL / name).write_text(value)
