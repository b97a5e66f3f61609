"""What the kernel keeps for the cluster and `down` sets back: control groups, settings, mounts of an older version."""

import contextlib
import json
import os
import re
from pathlib import Path

from devcluster.errors import DevClusterError
from devcluster.places import write_private
from devcluster.programs import run

CGROUPS = Path("/sys/fs/cgroup")
# The group that kubelet puts all pods into, so that they can be told from everybody else's.
GROUP = "podenv-dev"
# kubelet sets these, and the bridge needs the first.
SETTINGS = (
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


def boot_id() -> str:
    """Differs after each boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def mounts_below(mountinfo: str, folder: Path) -> list[Path]:
    """The mount points below `folder` in the text of /proc/self/mountinfo, the deepest first."""
    fields = (line.split()[4] for line in mountinfo.splitlines())
    points = (Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)) for field in fields)
    return sorted((point for point in points if folder in point.parents), key=lambda point: -len(point.parts))


def unmount(folder: Path) -> None:
    """Unmount what is below `folder` before that is removed; what is busy is detached and goes with its last user."""
    points = mounts_below(Path("/proc/self/mountinfo").read_text(), folder)
    if points:
        run(["umount", "--lazy", *points])


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
            for own in folder.glob("cpuset.[cm][pe]*s"):
                # In version 1 a new cpuset is empty, and nothing can run in it.
                if own.name in ("cpuset.cpus", "cpuset.mems") and not own.read_text().strip():
                    own.write_text((CGROUPS / "cpuset" / own.name).read_text())
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


def read_settings() -> dict[str, str]:
    """What the kernel has now for each of SETTINGS."""
    present = {name: Path("/proc/sys") / name for name in SETTINGS}
    return {name: path.read_text().strip() for name, path in present.items() if path.exists()}


def remember_settings(file: Path) -> None:
    """Write down SETTINGS as they are before anything of ours runs."""
    write_private(file, json.dumps({"boot": boot_id(), "settings": read_settings()}))


def restore_settings(file: Path) -> None:
    """Set the kernel's settings back to those written down; a new boot has set them back already."""
    with contextlib.suppress(OSError, ValueError):
        document, now = json.loads(file.read_text()), read_settings()
        for name, value in document["settings"].items() if document["boot"] == boot_id() else ():
            if name in SETTINGS and now.get(name) != value:
                with contextlib.suppress(OSError):
                    (Path("/proc/sys") / name).write_text(value)
