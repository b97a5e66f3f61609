"""runit keeps real programs here, with neither a cluster nor its mounts."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from devcluster import config, supervisor
from devcluster.errors import DevClusterError
from devcluster.places import Places

REAL = Places.from_environment(os.environ)


def test_the_clusters_processes_are_found_by_program_and_folder_and_pods_by_their_control_group(tmp_path: Path) -> None:
    bin, services, root = "/cache/debian/usr/bin", "/state/services", "/"
    for pid, program, folder, group in (
        (1, f"{bin}/containerd-shim-runc-v2", "/state/containerd/run/task", root),
        (2, "/usr/bin/containerd", f"{services}/containerd", root),
        (3, f"{bin}/etcd", "/elsewhere", root),
        (4, "/cache/1.20.2/kubelet (deleted)", f"{services}/kubelet", root),
        (5, "/cache-of-others/etcd", f"{services}/etcd", root),
        (6, "/pause", root, "/podenv-dev/kubepods/pod1"),
        (7, "/pause", root, "/docker/podenv-dev-2/kubepods"),
    ):
        process = tmp_path / str(pid)
        process.mkdir()
        (process / "exe").symlink_to(program)
        (process / "cwd").symlink_to(folder)
        (process / "cgroup").write_text(f"4:memory:{group}\n0::/\n")
    (tmp_path / "8").mkdir()  # dead, and not yet reaped
    assert supervisor.processes(Places(Path("/cache"), Path("/state")), tmp_path) == {1, 4, 6}


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")
@pytest.mark.skipif(not (REAL.debian / "usr/bin/runsvdir").is_file(), reason="runit is not in the dev cluster's cache")
def test_a_component_that_ends_is_started_anew_until_all_of_the_cluster_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Or the pods of a cluster that is up on this machine would be ended with it.
    monkeypatch.setattr(supervisor, "GROUP", "of-no-cluster")
    state, cache = tmp_path / "state", tmp_path / "cache"
    places = Places(cache, state)
    (places.debian / "usr").mkdir(parents=True)
    state.mkdir()
    subprocess.run(["cp", "-r", REAL.debian / "usr/bin", places.debian / "usr"], check=True)
    copy, words = cache / "tail", state / "words"
    subprocess.run(["cp", "/usr/bin/tail", copy], check=True)
    words.write_text("started\n")
    config.write(places)
    shutil.rmtree(places.services)
    (places.services / "one").mkdir(parents=True)
    run = places.services / "one" / "run"
    run.write_text(f"#!/bin/sh\nexec {copy} -f {words} >>{places.log('one')}\n")
    run.chmod(0o755)
    supervisor.start(places)
    try:
        first = await_pid(places, lambda pid: pid is not None)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        second = await_pid(places, lambda pid: pid not in (None, first))
        assert places.log("one").read_text() == "started\n" * 2
        assert second in supervisor.processes(places)
        for private in ("/var/log/pods", "/proc/sys/vm/overcommit_memory"):
            assert f" {private} " in Path(f"/proc/{second}/mounts").read_text()
            assert f" {private} " not in Path("/proc/self/mounts").read_text()
        # As if the cache had been moved.
        with pytest.raises(
            DevClusterError, match=r"runs in .*/services/one and is not of .*/elsewhere\. If the cache was"
        ):
            supervisor.end(Places(tmp_path / "elsewhere", state))
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
