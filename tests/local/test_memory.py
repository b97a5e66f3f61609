"""The memory limit holds for the whole process tree, whatever the library did; by control group and by sampling."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from podenv.errors import Exited, FunctionRaised, OutOfMemory
from podenv.local import Limits, cgroup

from .conftest import Runner

needs_cgroup = pytest.mark.skipif(
    (_made := cgroup.make(None)) is None, reason="this machine does not allow a memory control group here"
)
if _made is not None:
    _made.remove()

both = pytest.mark.parametrize(
    "sampled", [pytest.param(False, marks=needs_cgroup, id="cgroup"), pytest.param(True, id="sampled")]
)


def hold(mebibytes: int, seconds: float = 0.5) -> int:
    import time

    block = b"x" * (mebibytes << 20)
    time.sleep(seconds)
    return len(block) >> 20


@both
def test_a_task_within_its_limit_runs(runner: Runner, sampled: bool) -> None:
    assert runner(hold, 100, limits=Limits(memory="200Mi"), sampled=sampled) == 100


@both
def test_a_task_beyond_its_limit_is_out_of_memory(runner: Runner, sampled: bool) -> None:
    with pytest.raises(OutOfMemory) as raised:
        runner(hold, 200, limits=Limits(memory="100Mi"), sampled=sampled)
    assert str(raised.value) == (
        "Out of memory in environment 'small': it needed more than its limit of 100Mi. "
        "Raise the task's memory, or let it hold less at a time."
    )
    assert raised.value.retry


@both
def test_address_space_that_nothing_was_written_into_does_not_count(runner: Runner, sampled: bool) -> None:
    def reserve() -> int:
        import mmap

        return len(mmap.mmap(-1, 4 << 30))

    assert runner(reserve, limits=Limits(memory="100Mi"), sampled=sampled) == 4 << 30


def hold_in_children(each: int, count: int) -> str:
    import subprocess
    import sys

    code = f"import time; block = b'x' * ({each} << 20); time.sleep(30)"
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    return str([child.wait() for child in children])


@both
def test_the_memory_of_all_processes_together_counts(runner: Runner, sampled: bool) -> None:
    with pytest.raises(OutOfMemory):
        runner(hold_in_children, 60, 3, limits=Limits(memory="128Mi"), sampled=sampled)


@both
def test_memory_that_forked_processes_share_counts_once(runner: Runner, sampled: bool) -> None:
    def share() -> int:
        import os
        import time

        block = b"x" * (80 << 20)
        for _ in range(4):
            if os.fork() == 0:
                time.sleep(0.5)
                os._exit(0)
        for _ in range(4):
            os.wait()
        return len(block) >> 20

    assert runner(share, limits=Limits(memory="200Mi"), sampled=sampled) == 80


@both
def test_a_library_that_hides_it_does_not_hide_it_from_us(runner: Runner, sampled: bool) -> None:
    def shrug() -> str:
        import contextlib
        import subprocess
        import sys

        code = "import time; block = b'x' * (300 << 20); time.sleep(30)"
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run([sys.executable, "-c", code], check=True)
        return "all is well"

    with pytest.raises(OutOfMemory):
        runner(shrug, limits=Limits(memory="100Mi"), sampled=sampled)


@needs_cgroup
def test_a_short_peak_of_the_process_itself_is_seen_by_the_kernel(runner: Runner) -> None:
    def peak() -> int:
        return len(b"x" * (150 << 20)) >> 20

    with pytest.raises(OutOfMemory):
        runner(peak, limits=Limits(memory="100Mi"))


def touch(file: str, seconds: float) -> int:
    import mmap
    import time
    from pathlib import Path

    with Path(file).open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        pages = sum(mapped[place] for place in range(0, len(mapped), mmap.PAGESIZE))
        time.sleep(seconds)
    return pages


@both
@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_pages_of_a_mapped_file_do_not_count(runner: Runner, tmp_path: Path, sampled: bool, seconds: float) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"\x01" * (300 << 20))
    pages = (300 << 20) // os.sysconf("SC_PAGE_SIZE")
    assert runner(touch, str(file), seconds, limits=Limits(memory="128Mi"), sampled=sampled) == pages


@both
def test_shared_memory_counts(runner: Runner, sampled: bool) -> None:
    def share() -> int:
        import mmap
        import time

        block = mmap.mmap(-1, 200 << 20)
        for place in range(0, len(block), mmap.PAGESIZE):
            block[place] = 1
        time.sleep(0.5)
        return len(block)

    with pytest.raises(OutOfMemory):
        runner(share, limits=Limits(memory="100Mi"), sampled=sampled)


@both
def test_with_max_memory_it_runs_again_larger_in_the_same_try(runner: Runner, sampled: bool) -> None:
    limits = Limits(memory="64Mi", max_memory="300M")
    assert runner(hold, 200, limits=limits, sampled=sampled) == 200
    assert runner.lines == [
        "Out of memory at the limit of 64Mi; running again with 128Mi (max_memory is 300M).",
        "Out of memory at the limit of 128Mi; running again with 256Mi (max_memory is 300M).",
    ]


def test_beyond_max_memory_it_fails_with_the_last_limit(runner: Runner) -> None:
    with pytest.raises(OutOfMemory) as raised:
        runner(hold, 300, limits=Limits(memory="64Mi", max_memory="100Mi"))
    assert raised.value.limit == "100Mi"
    assert str(raised.value).endswith("Raise the task's max_memory, or let it hold less at a time.")
    assert len(runner.lines) == 1


def test_a_failure_that_is_no_want_of_memory_is_not_run_again(runner: Runner) -> None:
    def fail() -> None:
        raise MemoryError("a library's own idea")

    with pytest.raises(FunctionRaised, match="MemoryError"):
        runner(fail, limits=Limits(memory="64Mi", max_memory="1Gi"))
    assert runner.lines == []


@both
def test_a_command_has_the_limit_too(runner: Runner, sampled: bool) -> None:
    run = runner.run(Limits(memory="100Mi"), sampled=sampled)
    with pytest.raises(OutOfMemory):
        run.command(["sh", "-c", "python -c 'block = b\"x\" * (300 << 20); import time; time.sleep(2)'; true"])


def groups() -> list[Path]:
    own = cgroup.own_group()
    assert own is not None
    return list(own[1].glob(f"podenv-{os.getpid()}-*"))


@needs_cgroup
def test_no_group_is_left_behind(runner: Runner) -> None:
    runner(hold, 1, 0.0, limits=Limits(memory="100Mi"))
    with pytest.raises(OutOfMemory):
        runner(hold, 200, limits=Limits(memory="100Mi"))
    assert groups() == []


@needs_cgroup
def test_a_sampled_task_that_is_killed_while_another_container_is_out_of_memory_is_only_killed(runner: Runner) -> None:
    def killed_beside(folder: str) -> None:
        import os
        import signal
        import subprocess
        import sys

        join = f"import os; open({folder + '/cgroup.procs'!r}, 'w').write(str(os.getpid())); b'x' * (300 << 20)"
        subprocess.run([sys.executable, "-c", join], check=False)
        os.kill(os.getpid(), signal.SIGKILL)

    container = cgroup.make(100 << 20)
    assert container is not None
    with pytest.raises(Exited, match="was ended by SIGKILL"):
        runner(killed_beside, str(container.folder), sampled=True)
    assert container.oom_kills() == 1
    container.remove()


@needs_cgroup
def test_what_a_killed_podenv_left_is_ended_and_removed_by_the_next(runner: Runner) -> None:
    code = (
        "import os, subprocess\n"
        "from podenv.local import cgroup\n"
        "group = cgroup.make(None)\n"
        "child = subprocess.Popen(['sleep', '300'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "group.add(child.pid)\n"
        "print(group.folder, child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    folder, pid = Path(said[0]), int(said[1])
    assert folder.is_dir()
    runner(hold, 1, 0.0)
    assert not folder.exists()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists()


@needs_cgroup
def test_groups_of_podenvs_that_live_are_left_alone(runner: Runner) -> None:
    mine = cgroup.make(None)
    assert mine is not None
    runner(hold, 1, 0.0)
    assert groups() == [mine.folder]
    mine.remove()
    assert groups() == []


@needs_cgroup
def test_processes_that_started_before_their_parent_was_moved_are_moved_too() -> None:
    group = cgroup.make(None)
    assert group is not None
    parent = subprocess.Popen(["sh", "-c", "sleep 300 & sh -c 'sleep 301 & wait' & wait"], start_new_session=True)
    time.sleep(0.2)
    group.add(parent.pid)
    assert len(group.members()) == 4
    group.end()
    parent.wait()
    group.remove()
    assert not group.folder.exists()
