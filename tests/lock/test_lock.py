import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.lock.project import environment

from podenv import lock
from podenv.catalogue.environment import Environment
from podenv.errors import (
    LockError,
    LockMissing,
    LockStale,
    ResolutionFailed,
)
from podenv.lock import program


def stale(subject: Environment) -> str:
    with pytest.raises(LockStale) as caught:
        lock.check(subject)
    return str(caught.value)


@pytest.fixture
def etl(tmp_path: Path, index: Any) -> Environment:
    """An environment that asks for alpha, which needs beta; both have one release."""
    index.add("alpha", "1.0", requires=["beta>=1", "winonly; sys_platform == 'win32'"])
    index.add("beta", "1.0")
    return environment(tmp_path, "alpha  # the first letter\n")


def test_a_lock_holds_every_version_with_its_hashes_and_no_trace_of_the_machine(
    etl: Environment, index: Any, tmp_path: Path
) -> None:
    assert lock.resolve(etl) is True
    alpha = hashlib.sha256((index.root / "alpha" / "alpha-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    beta = hashlib.sha256((index.root / "beta" / "beta-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    first, second, body = etl.lock_file.read_text().split("\n", 2)
    assert first == "# This file is written by `podenv lock etl`; edit requirements.in instead."
    assert second.startswith(
        "# podenv-lock 2: python 3.12, platforms linux/amd64 macos/arm64, indexes none, inputs sha256:"
    )
    assert body == (
        "--only-binary :all:\n\n"
        f"alpha==1.0 \\\n    --hash=sha256:{alpha}\n    # via -r requirements.in\n"
        f"beta==1.0 \\\n    --hash=sha256:{beta}\n    # via alpha\n"
    )
    assert str(tmp_path) not in etl.lock_file.read_text()
    assert sorted(path.name for path in etl.folder.iterdir()) == ["requirements.in", "requirements.txt", "values.yaml"]
    assert etl.lock_file.stat().st_mode & 0o077 == 0o077 & ~_umask() & 0o666


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_fresh_lock_is_left_alone_and_needs_no_program(etl: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    lock.resolve(etl)
    before = etl.lock_file.stat()
    monkeypatch.setattr(program, "uv", lambda: pytest.fail("no program is needed"))
    assert lock.resolve(etl) is False
    lock.check(etl)
    assert etl.lock_file.stat() == before


def test_locking_again_from_nothing_but_the_lock_gives_identical_bytes(etl: Environment, index: Any) -> None:
    lock.resolve(etl)
    before = etl.lock_file.read_bytes()
    etl.requirements_in.write_text("alpha\nbeta\n")
    lock.resolve(etl)
    index.add("beta", "1.1")
    etl.requirements_in.write_text("alpha # another comment decides nothing\n\n")
    assert lock.resolve(etl) is True
    assert etl.lock_file.read_bytes() == before


def test_versions_stay_until_an_upgrade_is_asked_for(etl: Environment, index: Any) -> None:
    lock.resolve(etl)
    index.add("beta", "1.1")
    index.add("gamma", "2.0")
    etl.requirements_in.write_text("alpha\ngamma\n")
    assert lock.resolve(etl) is True
    assert lock.pinned(etl) == {"alpha": "1.0", "beta": "1.0", "gamma": "2.0"}
    assert lock.resolve(etl, upgrade=True) is True
    assert lock.pinned(etl) == {"alpha": "1.0", "beta": "1.1", "gamma": "2.0"}
    assert lock.resolve(etl, upgrade=True) is False


def test_only_the_python_of_the_environment_and_linux_and_macos_matter(tmp_path: Path, index: Any) -> None:
    index.add("old", "1.0")
    index.add("lib", "1.0", requires=["old==1.0; python_version < '3.12'", "old>=2; python_version >= '3.12'"])
    index.add("lib", "1.1", requires=["old>=3; sys_platform == 'win32'", "mac; sys_platform == 'darwin'"])
    index.add("mac", "1.0")
    legacy = environment(tmp_path, "lib==1.0\nold==1.0\n", python="3.11")
    lock.resolve(legacy)
    assert lock.pinned(legacy) == {"lib": "1.0", "old": "1.0"}
    assert ";" not in legacy.lock_file.read_text().split("\n", 2)[2]
    both = environment(tmp_path, "lib\n", name="both")
    lock.resolve(both)
    assert "\nmac==1.0 ; sys_platform == 'darwin' \\\n" in both.lock_file.read_text()


def test_what_makes_a_lock_stale_is_named_with_the_remedy(etl: Environment, tmp_path: Path) -> None:
    with pytest.raises(LockMissing) as missing:
        lock.check(etl)
    assert str(missing.value) == f"{etl.lock_file} is missing; run `podenv lock etl`."
    lock.resolve(etl)
    good = etl.lock_file.read_text()
    for text, why in (
        (good.replace("alpha==1.0", "alpha==1.1"), "was changed by hand"),
        (good + "\n", "was changed by hand"),
        (good[:-20], "was changed by hand"),
        (good.replace("podenv-lock 2", "podenv-lock 3"), "is in format 3, this podenv reads and writes 2"),
        (good.replace("linux/amd64 ", ""), "holds for macos/arm64, the values ask for linux/amd64 macos/arm64"),
        (good.replace("indexes none", "indexes sha256:0"), "was made with other indexes than the values name"),
        (good.split("\n", 2)[2], "was not written by podenv"),
        (f"<<<<<<< HEAD\n{good}", "was not written by podenv"),
        ("", "was not written by podenv"),
    ):
        etl.lock_file.write_text(text)
        assert stale(etl) == f"{etl.lock_file} {why}; run `podenv lock etl`."
    etl.lock_file.write_text(good)
    lock.check(etl)
    newer = environment(tmp_path, "alpha\n", python="3.13")
    assert stale(newer) == (f"{etl.lock_file} is for Python 3.12, the values ask for 3.13; run `podenv lock etl`.")
    etl.requirements_in.write_text("alpha<2\n")
    assert stale(environment(tmp_path, "alpha<2\n")) == (
        f"{etl.lock_file} is older than requirements.in or a file that it includes; run `podenv lock etl`."
    )


def test_a_lock_edited_by_hand_keeps_its_versions_and_gets_the_true_hashes_back(etl: Environment, index: Any) -> None:
    lock.resolve(etl)
    good = etl.lock_file.read_text()
    index.add("beta", "1.1")
    at = good.rindex("sha256:") + 7
    for damaged in (
        good[:at] + "0" * 64 + good[at + 64 :],
        f"<<<<<<< HEAD\n{good}=======\n>>>>>>> theirs\n",
        good.split("\n", 2)[2],
    ):
        etl.lock_file.write_text(damaged)
        assert lock.resolve(etl) is True
        assert etl.lock_file.read_text() == good


def test_included_files_decide_too_and_are_named_relative_to_the_file_that_includes_them(
    tmp_path: Path, index: Any
) -> None:
    for version in ("1.0", "2.0"):
        index.add("alpha", version)
        index.add("beta", version)
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "base.in").write_text("-c limits.txt\nbeta\n")
    (shared / "limits.txt").write_text("alpha<2 \\\n  --hash=sha256:00\nbeta<2\n")
    subject = environment(tmp_path, "alpha\n-r ../../shared/base.in\n")
    lock.resolve(subject)
    assert lock.pinned(subject) == {"alpha": "1.0", "beta": "1.0"}
    assert lock.direct(subject) == ["alpha", "beta"]
    assert "#   -c ../../shared/limits.txt\n    #   -r ../../shared/base.in\n" in subject.lock_file.read_text()
    (shared / "limits.txt").write_text("alpha<2\n")
    assert "is older than requirements.in or a file that it includes" in stale(subject)


def test_a_conflict_names_environment_and_file_and_gives_uvs_explanation(
    etl: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")  # uv would break its sentences
    etl.lock_file.write_text("the old one\n")
    etl.requirements_in.write_text("alpha\nbeta<1\n")
    with pytest.raises(ResolutionFailed) as caught:
        lock.resolve(etl)
    assert str(caught.value) == (
        f"Environment 'etl': no set of versions satisfies {etl.requirements_in}. uv says:\n"
        "No solution found when resolving dependencies\n"
        "  cause: Because all versions of alpha depend on beta>=1 and you require alpha, "
        "we can conclude that you require beta>=1.\n"
        "         And because you require beta<1, we can conclude that your requirements are unsatisfiable."
    )
    assert etl.lock_file.read_text() == "the old one\n"
    assert sorted(path.name for path in etl.folder.iterdir()) == ["requirements.in", "requirements.txt", "values.yaml"]


def test_an_unknown_package_is_named(tmp_path: Path, index: Any) -> None:
    index.add("alpha", "1.0")
    with pytest.raises(ResolutionFailed, match="Because alhpa was not found in the package registry"):
        lock.resolve(environment(tmp_path, "alhpa\n"))


def test_a_package_without_a_wheel_for_this_python_is_refused_with_the_way_out(tmp_path: Path, index: Any) -> None:
    index.add("native", "1.0", tag="cp311-cp311-manylinux2014_x86_64")
    with pytest.raises(
        ResolutionFailed, match=r"a line `--no-binary NAME` in requirements\.in lets one package be built from"
    ):
        lock.resolve(environment(tmp_path, "native\n", python="3.13"))


def test_a_package_that_only_linux_has_is_locked_when_it_is_asked_for_there_only(tmp_path: Path, index: Any) -> None:
    index.add("native", "1.0", tag="cp311-cp311-manylinux2014_x86_64")
    with pytest.raises(
        ResolutionFailed, match=r"macos/arm64\. For a package that only Linux has, write `NAME ; sys_platform"
    ):
        lock.resolve(environment(tmp_path, "native\n", python="3.11"))
    subject = environment(tmp_path, "native ; sys_platform == 'linux'\n", python="3.11")
    lock.resolve(subject)
    assert "\nnative==1.0 ; sys_platform == 'linux' \\\n" in subject.lock_file.read_text()


def test_a_package_to_build_from_source_is_named_to_whoever_installs_the_lock(tmp_path: Path, index: Any) -> None:
    index.add("alpha", "1.0")
    subject = environment(tmp_path, "alpha\n--no-binary Other_One\n")
    lock.resolve(subject)
    body = subject.lock_file.read_text().split("\n", 2)[2]
    assert body.startswith("--only-binary :all:\n--no-binary other-one\n\nalpha==1.0")
    lock.check(subject)


def test_an_index_that_cannot_be_reached_is_said(tmp_path: Path, index: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    subject = environment(tmp_path, "alpha\n")
    with pytest.raises(ResolutionFailed) as caught:
        lock.resolve(subject)
    assert str(caught.value).startswith(
        f"Environment 'etl': the package index cannot be reached to resolve {subject.requirements_in}; "
        "check the network, the indexes in the values and UV_DEFAULT_INDEX. uv says:\n"
    )
    assert not subject.lock_file.exists()


def test_a_requirement_without_a_hash_deep_down_is_refused(tmp_path: Path, index: Any) -> None:
    local = index.add("local", "1.0")
    index.add("alpha", "1.0", requires=[f"local @ {local.as_uri()}"])
    with pytest.raises(LockError):
        lock.resolve(environment(tmp_path, "alpha\n"))


def test_settings_of_uv_that_would_change_the_result_are_not_used(
    etl: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "never.txt").write_text("beta<1\n")
    (tmp_path / "pyproject.toml").write_text('[tool.uv]\nconstraint-dependencies = ["beta<1"]\n')
    for name in ("UV_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE"):
        monkeypatch.setenv(name, str(tmp_path / "never.txt"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    lock.resolve(etl)
    assert lock.pinned(etl) == {"alpha": "1.0", "beta": "1.0"}
    assert "python_full_version" not in etl.lock_file.read_text()


def test_an_environment_without_packages_has_an_empty_lock(tmp_path: Path, index: Any) -> None:
    subject = environment(tmp_path, "# nothing\n")
    lock.resolve(subject)
    lock.check(subject)
    assert lock.pinned(subject) == {}
    assert lock.direct(subject) == []


def test_a_killed_lock_leaves_the_old_one_whole_and_the_next_one_removes_its_rest(etl: Environment, index: Any) -> None:
    lock.resolve(etl)
    before = etl.lock_file.read_bytes()
    etl.requirements_in.write_text("alpha\nbeta\n")
    # The first uv that this process starts never ends, so the kill comes while it is locking.
    code = (
        "import pathlib, sys; from podenv import lock; from podenv.catalogue.environment import Catalogue\n"
        "lock.program.uv = lambda: pathlib.Path(sys.argv[2])\n"
        "lock.resolve(Catalogue(pathlib.Path(sys.argv[1]))['etl'])\n"
    )
    slow = etl.folder.parent.parent / "slow-uv"
    slow.write_text('#!/bin/sh\necho $$ > "$0.pid"\nexec sleep 60\n')
    slow.chmod(0o755)
    with subprocess.Popen([sys.executable, "-c", code, etl.folder.parent, slow]) as running:
        started = slow.with_name("slow-uv.pid")
        while not (started.exists() and started.read_text().strip()):
            time.sleep(0.01)
        os.kill(running.pid, signal.SIGKILL)
    os.kill(int(started.read_text()), signal.SIGKILL)
    assert len(list(etl.folder.glob(".podenv-lock-*"))) == 1
    assert etl.lock_file.read_bytes() == before
    assert lock.resolve(etl) is True
    assert sorted(path.name for path in etl.folder.iterdir()) == ["requirements.in", "requirements.txt", "values.yaml"]


def test_a_folder_that_cannot_be_written_is_an_error_of_one_line(
    etl: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root ignores mode bits, so the folder is taken away under it.
    def remove_first() -> Path:
        shutil.rmtree(etl.folder)
        return Path(sys.executable)

    monkeypatch.setattr(program, "uv", remove_first)
    with pytest.raises(LockError) as caught:
        lock.resolve(etl)
    assert str(caught.value) == (
        f"{etl.lock_file} cannot be written: No such file or directory; the old lock, if any, is unchanged."
    )
