"""Where control groups are on machines of several layouts, and what version 2 is told: on files like the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from podenv.local import cgroup

V1 = "33 24 0:29 {root} {point}/memory rw,nosuid - cgroup cgroup rw,memory"
V1_CPU = "34 24 0:30 / {point}/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct"
V2 = "35 24 0:31 {root} {point}/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"


def proc(folder: Path, memberships: str, *mounts: str, root: str = "/") -> Path:
    """A /proc/self whose files say this."""
    (folder / "cgroup").write_text(memberships)
    (folder / "mountinfo").write_text("".join(f"{m.format(root=root, point='/sys/fs/cgroup')}\n" for m in mounts))
    return folder


def test_of_a_hybrid_layout_the_version_with_the_memory_controller_counts(tmp_path: Path) -> None:
    here = proc(tmp_path, "4:memory:/a/b\n1:cpu,cpuacct:/a\n0::/\n", V1_CPU, V2, V1)
    assert cgroup.own_group(here) == (1, Path("/sys/fs/cgroup/memory/a/b"))


def test_version_2_alone_is_found(tmp_path: Path) -> None:
    here = proc(tmp_path, "0::/user.slice/session-3.scope\n", V2)
    assert cgroup.own_group(here) == (2, Path("/sys/fs/cgroup/unified/user.slice/session-3.scope"))


def test_a_container_that_sees_a_part_of_the_hierarchy_finds_itself_in_it(tmp_path: Path) -> None:
    here = proc(tmp_path, "4:memory:/docker/abc/task\n0::/\n", V1, root="/docker/abc")
    assert cgroup.own_group(here) == (1, Path("/sys/fs/cgroup/memory/task"))
    here = proc(tmp_path, "4:memory:/docker/abc\n0::/\n", V1, root="/docker/abc")
    assert cgroup.own_group(here) == (1, Path("/sys/fs/cgroup/memory"))


def test_where_there_is_none_or_it_is_not_mounted_nothing_is_found(tmp_path: Path) -> None:
    assert cgroup.own_group(tmp_path / "macos") is None
    assert cgroup.own_group(proc(tmp_path, "0::/\n")) is None
    assert cgroup.own_group(proc(tmp_path, "4:memory:/other\n", V1, root="/docker/abc")) is None


@pytest.fixture
def version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A group of version 2 whose new children get the files that `delegated` names."""
    monkeypatch.setattr(cgroup, "own_group", lambda: (2, tmp_path))
    return tmp_path


def delegate(monkeypatch: pytest.MonkeyPatch, *files: str) -> None:
    real = Path.mkdir

    def mkdir(self: Path) -> None:
        real(self)
        for name in ("cgroup.procs", "memory.events", *files):
            (self / name).write_text("low 0\noom 2\noom_kill 1\n" if name == "memory.events" else "")

    monkeypatch.setattr(Path, "mkdir", mkdir)


def test_version_2_gets_the_limit_and_no_swap(version_2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    delegate(monkeypatch, "memory.max", "memory.swap.max")
    group = cgroup.make(100 << 20)
    assert group is not None
    assert (group.folder / "memory.max").read_text() == "104857600"
    assert (group.folder / "memory.swap.max").read_text() == "0"
    assert group.oom_kills() == 1


def test_version_2_without_swap_or_limit_is_watched_as_well(version_2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    delegate(monkeypatch, "memory.max")
    group = cgroup.make(None)
    assert group is not None
    assert (group.folder / "memory.max").read_text() == "max"


def test_version_2_without_the_controller_is_left_to_sampling(version_2: Path) -> None:
    assert cgroup.make(100 << 20) is None
    assert list(version_2.iterdir()) == []


def test_a_group_that_may_not_be_made_is_left_to_sampling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(cgroup, "own_group", lambda: (1, tmp_path / "file"))
    assert cgroup.make(100 << 20) is None


def test_members_of_another_pid_namespace_are_never_taken_for_a_process_of_ours(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").write_text("0\n12\n0\n")
    assert cgroup.Cgroup(tmp_path, 2).members() == [12]
