import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devcluster import processes
from devcluster.processes import Holder, Identity


def fake_process(proc: Path, pid: int, *, name: str, state: str = "S", started: int = 4711) -> Path:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    between = " ".join(str(number) for number in range(4, 22))
    (folder / "stat").write_text(f"{pid} ({name}) {state} {between} {started} 0 0\n")
    return folder


def test_a_process_is_told_by_pid_and_start_time_whatever_its_name(tmp_path: Path) -> None:
    fake_process(tmp_path, 7, name="a) S (b", started=99)
    assert processes.identify(7, tmp_path) == Identity(7, 99)


@pytest.mark.parametrize("state", ["Z", "X"])
def test_a_dead_process_that_nobody_reaped_is_none(tmp_path: Path, state: str) -> None:
    fake_process(tmp_path, 7, name="etcd", state=state)
    assert processes.identify(7, tmp_path) is None


def test_a_pid_that_nobody_has_is_none(tmp_path: Path) -> None:
    assert processes.identify(7, tmp_path) is None


def test_a_pid_that_now_belongs_to_another_program_is_neither_alive_nor_stopped() -> None:
    other = subprocess.Popen(["sleep", "60"])
    try:
        real = processes.identify(other.pid)
        assert real is not None
        stale = Identity(real.pid, real.started - 1)
        assert processes.is_alive(real)
        assert not processes.is_alive(stale)
        processes.stop(stale, patience=1)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_process_that_ignores_sigterm_is_killed_after_the_patience(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    log = tmp_path / "log"
    identity = processes.start([sys.executable, "-c", deaf], log=log, env={})
    assert identity is not None
    while log.read_text() != "deaf\n":
        time.sleep(0.01)
    processes.stop(identity, patience=0.1)
    assert not processes.is_alive(identity)
    os.waitpid(identity.pid, 0)


def test_a_record_is_read_back_and_a_broken_one_is_none(tmp_path: Path) -> None:
    processes.save(tmp_path, "etcd", Identity(12, 34))
    assert processes.recorded(tmp_path, "etcd") == Identity(12, 34)
    assert (tmp_path / "etcd.json").stat().st_mode & 0o777 == 0o600
    for broken in ('{"pid": 12', '{"pid": 12}', "[]", "null"):
        (tmp_path / "etcd.json").write_text(broken)
        assert processes.recorded(tmp_path, "etcd") is None
    assert processes.recorded(tmp_path, "kubelet") is None


def test_the_holder_of_a_port_is_named() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert processes.port_holder(port) is None, "bound is not yet listening"
        listener.listen()
        program = Path("/proc/self/comm").read_text().strip()
        assert processes.port_holder(port) == Holder(os.getpid(), program)
    assert processes.port_holder(port) is None


def test_a_holder_on_an_ipv6_address_is_found_too() -> None:
    with socket.socket(socket.AF_INET6) as listener:
        listener.bind(("::", 0))
        listener.listen()
        holder = processes.port_holder(listener.getsockname()[1])
    assert holder is not None
    assert holder.pid == os.getpid()


def test_a_holder_that_may_not_be_looked_at_is_still_a_holder(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    row = "0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 777 1"
    (tmp_path / "net" / "tcp").write_text(f"header\n{row}\n")
    assert processes.port_holder(5000, tmp_path) == Holder(0, "a program of another user or container")
    assert processes.port_holder(5001, tmp_path) is None


def test_processes_without_a_record_are_found_by_program_and_state_folder(tmp_path: Path) -> None:
    cache, state = Path("/cache"), Path("/state")
    for pid, program, words in (
        (1, "/cache/debian/usr/bin/containerd-shim-runc-v2", "shim\0-address\0/state/containerd/containerd.sock\0"),
        (2, "/usr/bin/containerd", "containerd\0--config\0/state/config\0"),
        (3, "/cache/debian/usr/bin/etcd", "etcd\0--data-dir=/elsewhere/etcd\0"),
        (4, "/cache/kubernetes/1.20.2/kubelet (deleted)", "kubelet\0--config=/state/config/kubelet.json\0"),
        (5, "/cache-of-others/etcd", "etcd\0--data-dir=/state/etcd\0"),
    ):
        folder = fake_process(tmp_path, pid, name="x", started=pid * 10)
        (folder / "exe").symlink_to(program)
        (folder / "cmdline").write_text(words)
    found = set(processes.belonging_to(cache, state, tmp_path))
    assert found == {Identity(1, 10), Identity(4, 40)}
