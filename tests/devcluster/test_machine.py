from pathlib import Path

from devcluster.machine import mounts_below

MOUNTINFO = """\
24 1 254:0 / / rw shared:1 - ext4 /dev/vda rw
90 24 0:50 / /state/containerd/run/rootfs rw - overlay overlay rw
91 90 0:51 / /state/containerd/run/rootfs/dev rw - tmpfs tmpfs rw
92 24 0:52 / /state-of-others/x rw - tmpfs tmpfs rw
93 24 0:53 / /state/kubelet/pods/a\\040b rw - tmpfs tmpfs rw
94 24 0:54 / /state rw - tmpfs tmpfs rw
"""


def test_mounts_below_a_folder_come_deepest_first_and_the_folder_itself_and_others_stay() -> None:
    assert mounts_below(MOUNTINFO, Path("/state")) == [
        Path("/state/containerd/run/rootfs/dev"),
        Path("/state/containerd/run/rootfs"),
        Path("/state/kubelet/pods/a b"),
    ]
