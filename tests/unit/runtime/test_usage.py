"""What the kernel's files say of a call, in both versions of control groups."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from podenv.runtime import usage

MIB = 2**20


@pytest.fixture(autouse=True)
def _no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the process that runs the tests are not the function's."""
    monkeypatch.setattr(usage, "_children", lambda: 0)


class Kernel:
    """The files of a process and of its control groups below a folder."""

    def __init__(self, folder: Path, version: int, path: str, around: str = "/elsewhere") -> None:
        self._folder = folder
        self.proc = folder / "proc"
        self._own = self.proc / "self"
        self._own.mkdir(parents=True)
        self.parent = self.proc / "7"
        self.parent.mkdir()
        names = {1: ("memory", "cpu", "cpuacct"), 2: ("",)}[version]
        groups = "".join(f"{number}:{name}:{path}\n" for number, name in enumerate(names, 1 if version == 1 else 0))
        mounts = "".join(
            f"30 29 0:26 / {folder}/cgroup/{name} rw - {'cgroup' if name else 'cgroup2'} cgroup rw,{name}\n"
            for name in names
        )
        (self._own / "cgroup").write_text(groups)
        (self.parent / "cgroup").write_text(groups.replace(path, around))
        (self._own / "mountinfo").write_text(mounts)
        self.path = path

    def write(self, files: Mapping[str, str], *, written: int = 0, peak_kib: int = 50 * 1024) -> None:
        (self._own / "io").write_text(f"wchar: 9\nwrite_bytes: {written}\n")
        (self._own / "status").write_text(f"Name:\tpython\nVmHWM:\t   {peak_kib} kB\n")
        for name, text in files.items():
            controller, _, file = name.rpartition("/")
            place = self._folder / "cgroup" / controller / self.path.strip("/") / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)


VERSION_1 = {
    "memory/memory.max_usage_in_bytes": f"{300 * MIB}\n",
    "memory/memory.stat": f"active_file 1\ntotal_active_file {60 * MIB}\ntotal_inactive_file {40 * MIB}\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "cpuacct/cpuacct.usage": "5000000000\n",
    "cpu/cpu.stat": "nr_periods 5\nnr_throttled 1\nthrottled_time 400000000\n",
}
VERSION_2 = {
    "memory.peak": f"{300 * MIB}\n",
    "memory.stat": f"active_file {60 * MIB}\ninactive_file {40 * MIB}\n",
    "memory.events": "low 0\nmax 3\noom 2\noom_kill 2\n",
    "cpu.stat": "usage_usec 5000000\nthrottled_usec 400000\n",
}
LATER = {
    1: {"cpuacct/cpuacct.usage": "7500000000\n", "cpu/cpu.stat": "throttled_time 600000000\n"},
    2: {"cpu.stat": "usage_usec 7500000\nthrottled_usec 600000\n"},
}


@pytest.mark.parametrize(("version", "files"), [(1, VERSION_1), (2, VERSION_2)])
@pytest.mark.parametrize(("path", "parent"), [("/", 0), ("/kubepods/pod1/task", 0), ("/user/podenv-7-1-ab", 7)])
def test_a_control_group_of_its_own_tells_it_all(
    tmp_path: Path, version: int, files: dict[str, str], path: str, parent: int
) -> None:
    kernel = Kernel(tmp_path, version, path)
    kernel.write(files, written=100)
    meter = usage.Meter(str(kernel.proc), parent)
    kernel.write(LATER[version], written=4196)
    found = meter.read()
    assert found == {
        "peak_memory_bytes": 200 * MIB,
        "cpu_seconds": 2.5,
        "throttled_seconds": pytest.approx(0.2),
        "written_bytes": 4096,
        "out_of_memory_kills": 2,
    }


@pytest.mark.parametrize(("version", "files"), [(1, VERSION_1), (2, VERSION_2)])
def test_a_group_that_holds_others_tells_nothing_and_the_largest_process_counts(
    tmp_path: Path, version: int, files: dict[str, str]
) -> None:
    kernel = Kernel(tmp_path, version, "/user.slice", around="/user.slice")
    kernel.write(files, peak_kib=10**9)
    found = usage.Meter(str(kernel.proc), 7).read()
    assert found.keys() == {"peak_memory_bytes", "cpu_seconds", "written_bytes"}
    assert found["peak_memory_bytes"] == 10**9 * 1024


def test_files_that_came_after_the_peak_do_not_hide_what_a_process_held(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, 2, "/")
    kernel.write({**VERSION_2, "memory.stat": f"inactive_file {290 * MIB}\n"}, peak_kib=250 * 1024)
    assert usage.Meter(str(kernel.proc), 0).read()["peak_memory_bytes"] == 250 * MIB


def test_several_processes_that_held_much_before_files_came_are_never_counted_too_low(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "_children", lambda: 80 * 1024)
    kernel = Kernel(tmp_path, 2, "/")
    kernel.write({**VERSION_2, "memory.stat": f"inactive_file {250 * MIB}\n"})
    assert usage.Meter(str(kernel.proc), 0).read()["peak_memory_bytes"] == 300 * MIB
    kernel.write({**VERSION_2, "memory.stat": f"inactive_file {20 * MIB}\n"})
    assert usage.Meter(str(kernel.proc), 0).read()["peak_memory_bytes"] == 280 * MIB


def test_an_old_kernel_leaves_out_what_it_does_not_know(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, 2, "/")
    kernel.write({"cpu.stat": "usage_usec 5000000\n"})
    found = usage.Meter(str(kernel.proc), 0).read()
    assert found.keys() == {"peak_memory_bytes", "cpu_seconds", "written_bytes"}


def test_without_proc_the_process_itself_is_asked(tmp_path: Path) -> None:
    found = usage.Meter(str(tmp_path / "absent")).read()
    assert found.keys() == {"peak_memory_bytes", "cpu_seconds"}
    assert found["peak_memory_bytes"] > 5 * MIB


def test_a_process_that_is_moved_while_it_looks_never_takes_the_group_of_others_for_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(tmp_path, 2, "/podenv-7-1-ab", around="/session")
    kernel.write(VERSION_2)
    read, seen = usage._lines, ["0::/session\n"]

    def moving(file: str) -> list[str]:
        """The process is moved once its group was read for the first time."""
        if not file.endswith("self/cgroup"):
            return read(file)
        return [seen.pop()] if seen else [f"0::{kernel.path}\n"]

    monkeypatch.setattr(usage, "_lines", moving)
    groups = [usage._own("memory", str(kernel.proc / "self"), str(kernel.parent)) for _ in range(2)]
    assert groups == [(0, ""), (2, f"{tmp_path}/cgroup/podenv-7-1-ab")]
