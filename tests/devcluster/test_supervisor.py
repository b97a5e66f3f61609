"""runit keeps real programs here, with neither a cluster nor its mounts."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from devcluster import supervisor
from devcluster.components import Component
from devcluster.places import Places

REAL = Places.from_environment(os.environ)


def fake_process(proc: Path, pid: int, program: str, *, words: str, at: str = "/", group: str = "/") -> None:
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "exe").symlink_to(program)
    (folder / "cwd").symlink_to(at)
    (folder / "cmdline").write_text(words)
    (folder / "cgroup").write_text(f"4:memory:{group}\n0::/\n")


def test_the_clusters_processes_are_found_by_program_and_folder_and_pods_by_their_control_group(tmp_path: Path) -> None:
    shim = "/cache/debian/usr/bin/containerd-shim-runc-v2"
    fake_process(tmp_path, 1, shim, words="shim\0-address\0/state/containerd/containerd.sock\0")
    fake_process(tmp_path, 2, "/usr/bin/containerd", words="containerd\0--config\0/state/config\0")
    fake_process(tmp_path, 3, "/cache/debian/usr/bin/etcd", words="etcd\0--data-dir=/elsewhere/etcd\0")
    fake_process(tmp_path, 4, "/cache/1.20.2/kubelet (deleted)", words="kubelet\0--config=/state/config/kubelet.json\0")
    fake_process(tmp_path, 5, "/cache-of-others/etcd", words="etcd\0--data-dir=/state/etcd\0")
    fake_process(tmp_path, 6, "/cache/debian/usr/bin/runsv", words="runsv\0etcd\0", at="/state/services/etcd")
    fake_process(tmp_path, 7, "/pause", words="/pause\0", group="/podenv-dev/kubepods/pod1")
    fake_process(tmp_path, 8, "/pause", words="/pause\0", group="/docker/podenv-dev-2/kubepods")
    (tmp_path / "9").mkdir()  # dead, and not yet reaped
    assert supervisor.processes(Places(Path("/cache"), Path("/state")), tmp_path) == {1, 4, 6, 7}


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")
@pytest.mark.skipif(not (REAL.debian / "usr/bin/runsvdir").is_file(), reason="runit is not in the dev cluster's cache")
def test_a_component_that_ends_is_started_anew_until_all_of_the_cluster_is_ended(tmp_path: Path) -> None:
    state, cache = tmp_path / "state", tmp_path / "cache"
    places = Places(cache, state)
    (places.debian / "usr").mkdir(parents=True)
    state.mkdir()
    subprocess.run(["cp", "-r", REAL.debian / "usr/bin", places.debian / "usr"], check=True)
    copy, words = cache / "tail", state / "words"
    subprocess.run(["cp", "/usr/bin/tail", copy], check=True)
    words.write_text("started\n")
    supervisor.start(places, [Component("one", (str(copy), "-f", str(words)), (), "")], {})
    try:
        first = await_pid(places, lambda pid: pid is not None)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        second = await_pid(places, lambda pid: pid not in (None, first))
        assert places.log("one").read_text() == "started\n" * 2
        assert second in supervisor.processes(places)
        private = [line for line in Path(f"/proc/{second}/mounts").read_text().splitlines() if "/var/log/pods" in line]
        assert len(private) == 1
        assert "/var/log/pods" not in Path("/proc/self/mounts").read_text()
    finally:
        supervisor.end(places)
    assert supervisor.processes(places) == set()
    assert supervisor.pids(places) == {}


def await_pid(places: Places, wanted: Callable[[int | None], bool]) -> int | None:
    deadline = time.monotonic() + 30
    while not wanted(pid := supervisor.pids(places).get("one")):
        assert time.monotonic() < deadline, places.log("runit").read_text()
        time.sleep(0.05)
    return pid
