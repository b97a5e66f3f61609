import io
from pathlib import Path

import pytest

from devcluster.errors import DevClusterError
from devcluster.programs import run
from devcluster.progress import Progress, spell


def test_durations_are_spelled_for_people() -> None:
    spelled = [spell(seconds) for seconds in (0.04, 9.94, 42.4, 60, 663.9)]
    assert spelled == ["0.0 s", "9.9 s", "42.4 s", "1 min 0 s", "11 min 3 s"]


def test_each_step_gets_a_line_when_it_begins_and_one_with_its_time_when_it_has_ended_or_failed() -> None:
    out = io.StringIO()
    progress = Progress(out)
    with progress.step("build Kubernetes, 6 minutes (log: /a/long/path)"):
        pass
    with pytest.raises(DevClusterError), progress.step("start etcd"):
        raise DevClusterError("no")
    assert out.getvalue() == (
        "  …      build Kubernetes, 6 minutes (log: /a/long/path)\n"
        "  ok     build Kubernetes, 6 minutes (0.0 s)\n"
        "  …      start etcd\n"
        "  failed start etcd (0.0 s)\n"
    )


def test_a_program_that_fails_is_quoted_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(DevClusterError, match=r"^`sh -c echo 1; echo 2 >&2; exit 3 …` ended with 3:\n2$"):
        run(["sh", "-c", "echo 1; echo 2 >&2; exit 3"])
    log = tmp_path / "logs" / "one.log"
    log.parent.mkdir()
    log.write_text("of before\n")
    with pytest.raises(DevClusterError) as failed:
        run(["sh", "-c", "echo 1; echo 2 >&2; exit 3"], log=log)
    assert str(failed.value).endswith(f"ended with 3 (whole log: {log}):\n1\n2")
    assert log.read_text() == "of before\n1\n2\n"


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(DevClusterError, match=r"^no-such-program could not be started: No such file or directory"):
        run(["no-such-program"])
