"""runit keeps a real program here, with neither a cluster nor its mounts."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from devcluster import config, supervisor
from devcluster.places import Places

REAL = Places.from_environment(os.environ)

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root"),
    pytest.mark.skipif(not (REAL.debian / "usr/bin/sv").is_file(), reason="runit is not in the dev cluster's cache"),
]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A state folder with all files, and one service, which is healthy while the file `well` is there."""
    # Or the processes of a cluster that is up on this machine would be ended with it.
    monkeypatch.setattr(supervisor, "GROUP", f"podenv-dev-test-{os.getpid()}")
    made = Places(tmp_path / "cache", tmp_path / "state")
    made.cache.mkdir()
    made.debian.symlink_to(REAL.debian)
    config.write(made)
    shutil.rmtree(made.services)
    folder = made.services / "one"
    folder.mkdir(parents=True)
    (folder / "run").write_text(f"#!/bin/sh\necho started >>{made.log('one')}\nexec tail -f /dev/null\n")
    (folder / "check").write_text("#!/bin/sh\nexec test -e well\n")
    for script in folder.iterdir():
        script.chmod(0o755)
    return made


def test_a_component_that_ends_is_started_anew_until_all_of_the_cluster_is_ended(places: Places) -> None:
    supervisor.make_group()
    supervisor.start(places)
    try:
        first = await_pid(places, lambda pid: pid is not None)
        assert first is not None
        assert supervisor.healthy(places) == set()
        (places.services / "one" / "well").touch()
        assert supervisor.healthy(places) == {"one"}
        os.kill(first, signal.SIGKILL)
        second = await_pid(places, lambda pid: pid not in (None, first))
        assert places.log("one").read_text() == "started\n" * 2
        assert second in supervisor.processes()
        environ = Path(f"/proc/{second}/environ").read_text().split("\0")
        assert {word.partition("=")[0] for word in environ} <= {"", "HOME", "PATH", "PWD"}
        for private in ("/var/log/pods", "/proc/sys/vm/overcommit_memory"):
            assert f" {private} " in Path(f"/proc/{second}/mounts").read_text()
            assert f" {private} " not in Path("/proc/self/mounts").read_text()
    finally:
        supervisor.end()
    assert supervisor.processes() == set()
    assert supervisor.pids(places) == {}
    assert not any(folder.exists() for folder in supervisor.group_folders())


def await_pid(places: Places, wanted: Callable[[int | None], bool]) -> int | None:
    deadline = time.monotonic() + 30
    while not wanted(pid := supervisor.pids(places).get("one")):
        assert time.monotonic() < deadline, places.log("runit").read_text()
        time.sleep(0.05)
    return pid
