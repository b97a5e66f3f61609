"""Virtual environments: made once for each lock, never used half made, and what is said when one cannot be made."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from podenv import lock, process, venv
from podenv.catalogue.environment import Catalogue, Environment
from podenv.catalogue.names import lock_key
from podenv.errors import LocalEnvironmentError, LockMissing, LockStale, ProgramNotFound
from podenv.lock import cache

SYNC = """
import sys
from pathlib import Path
from podenv import venv
from podenv.catalogue.environment import Catalogue
print("begun", flush=True)
done = venv.sync(Catalogue(Path(sys.argv[1]))["small"], log=lambda line: print(line, flush=True))
print("created" if done.created else "found", flush=True)
"""


def syncing(catalogue: Catalogue) -> subprocess.Popen[str]:
    """Another process that syncs ``small``, in a group of its own."""
    argv = [sys.executable, "-c", SYNC, str(catalogue.root)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)


def imports(folder: Path, module: str) -> str:
    """The version of ``module`` in a virtual environment."""
    argv = [str(folder / "bin" / "python"), "-c", f"import {module}; print({module}.__version__)"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def key_of(environment: Environment) -> str:
    return lock_key(environment.python, lock.lock_hash(environment))


def damaged(environment: Environment) -> Environment:
    """``environment`` with a lock in which all hashes of packages are wrong and only they."""
    text = environment.lock_file.read_text()
    first, second, body = text.split("\n", 2)
    body = re.sub(r"--hash=sha256:[0-9a-f]{8}", "--hash=sha256:00000000", body)
    second = re.sub(r"body sha256:\w+", f"body sha256:{hashlib.sha256(body.encode()).hexdigest()}", second)
    environment.lock_file.write_text("\n".join((first, second, body)))
    return environment


def test_a_sync_installs_exactly_what_the_lock_names_on_the_python_that_the_values_name(
    catalogue: Catalogue, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = catalogue["small"]
    monkeypatch.delenv("UV_COMPILE_BYTECODE")
    log: list[str] = []
    done = venv.sync(environment, log=log.append)
    assert (done.environment, done.key, done.created) == ("small", key_of(environment), True)
    assert done.path == own_cache / "venvs" / done.key
    assert (done.path / "lib/python3.11/site-packages/__pycache__/six.cpython-311.pyc").is_file()
    assert imports(done.path, "six") == "1.16.0"
    installed = {path.name.split("-")[0] for path in done.path.glob("lib/python3.11/site-packages/*.dist-info")}
    assert installed == {"six"}
    assert json.loads((done.path / "podenv.json").read_text()) == {
        "key": done.key,
        "content": lock.lock_hash(environment),
        "python": "3.11",
        "podenv": "0.1.0",
    }
    assert [re.sub(r"(with|in) \S+", r"\1 …", line) for line in log] == [
        "Making the virtual environment of 'small' with … in …",
        "Made the virtual environment of 'small' in … s.",
    ]


def test_one_that_is_ready_is_found_without_starting_a_program(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = venv.sync(catalogue["small"])
    monkeypatch.setattr(process, "run", lambda *_, **__: pytest.fail("a program was started"))
    found = venv.sync(catalogue["small"])
    assert (found.path, found.created) == (made.path, False)


def test_projects_with_the_same_lock_share_one(catalogue: Catalogue, own_catalogue: Catalogue) -> None:
    first, second = venv.sync(catalogue["small"]), venv.sync(own_catalogue["small"])
    assert second.path == first.path
    assert not second.created
    assert set(venv.catalogues(first.path)) >= {catalogue.root, own_catalogue.root}


def test_the_cache_follows_the_users_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PODENV_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.folder() == tmp_path / ".cache" / "podenv"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() == tmp_path / "xdg" / "podenv"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache.folder() == tmp_path / "Library" / "Caches" / "podenv"


def test_of_processes_that_sync_the_same_one_at_once_one_makes_it_and_the_others_find_it(
    catalogue: Catalogue, own_cache: Path
) -> None:
    answers = [process.communicate(timeout=60)[0].split()[-1] for process in [syncing(catalogue) for _ in range(4)]]
    assert sorted(answers) == ["created", "found", "found", "found"]


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_after_kill_9_at_any_moment_the_next_sync_heals(catalogue: Catalogue, own_cache: Path, seconds: float) -> None:
    victim = syncing(catalogue)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "begun\n"
    time.sleep(seconds)
    victim.send_signal(signal.SIGKILL)  # only podenv: its uv may go on
    victim.wait()
    done = venv.sync(catalogue["small"])
    assert imports(done.path, "six") == "1.16.0"
    victim.stdout.close()


def test_a_uv_that_outlives_its_podenv_still_holds_the_lock(own_cache: Path) -> None:
    folder = own_cache / "venvs" / "py3.11-0123456789abcdef"
    with venv.locked(folder) as descriptor:
        assert descriptor is not None
        orphan = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])
    try:
        with venv.locked(folder, wait=False) as second:
            assert second is None
    finally:
        orphan.kill()
        orphan.wait()
    with venv.locked(folder, wait=False) as third:
        assert third is not None


def test_one_that_is_half_made_or_damaged_is_made_anew(catalogue: Catalogue, own_cache: Path) -> None:
    environment = catalogue["small"]
    folder = own_cache / "venvs" / key_of(environment)
    for damage in ("no marker", "cut marker", "another lock's marker"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "leftover").touch()
        if damage != "no marker":
            (folder / "podenv.json").write_text('{"content": "00"}' if "another" in damage else '{"key"')
        assert venv.sync(environment).created, damage
        assert not (folder / "leftover").exists(), damage
        assert imports(folder, "six") == "1.16.0"


def test_one_whose_interpreter_was_removed_is_made_anew(catalogue: Catalogue, own_cache: Path, tmp_path: Path) -> None:
    done = venv.sync(catalogue["small"])
    python = done.path / "bin" / "python"
    python.unlink()
    python.symlink_to(tmp_path / "gone")
    assert not venv.is_complete(done.path)
    assert venv.sync(catalogue["small"]).created
    assert imports(done.path, "six") == "1.16.0"


def test_ctrl_c_leaves_nothing_that_would_be_used(catalogue: Catalogue, own_cache: Path) -> None:
    victim = syncing(catalogue)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "begun\n"
    assert victim.stdout.readline().startswith("Making the virtual environment")
    victim.send_signal(signal.SIGINT)
    assert victim.wait(timeout=20) == -signal.SIGINT
    victim.stdout.close()
    assert not venv.is_complete(own_cache / "venvs" / key_of(catalogue["small"]))
    assert venv.sync(catalogue["small"]).created


def test_the_users_settings_of_uv_do_not_lead_it_astray(
    catalogue: Catalogue, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_SYSTEM_PYTHON", "1")  # usual in images
    monkeypatch.setenv("UV_PYTHON", "3.9")
    monkeypatch.setenv("UV_PYTHON_PREFERENCE", "only-managed")
    monkeypatch.setenv("UV_COMPILE_BYTECODE", "0")
    monkeypatch.setenv("VIRTUAL_ENV", "/nonexistent")
    done = venv.sync(catalogue["small"])
    assert imports(done.path, "six") == "1.16.0"


def test_settings_of_uv_around_the_catalogue_do_not_reach_it(
    catalogue: Catalogue, own_catalogue: Catalogue, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = own_catalogue.root.parent
    (project / "pyproject.toml").write_text('[tool.uv]\nno-binary = true\n[tool.uv.pip]\ntarget = "elsewhere"\n')
    (project / "limits.txt").write_text("six<1\n")
    monkeypatch.setenv("UV_CONSTRAINT", str(project / "limits.txt"))
    done = venv.sync(own_catalogue["small"])
    assert done.created
    assert imports(done.path, "six") == "1.16.0"


def test_a_stale_lock_is_refused_and_the_command_named(own_catalogue: Catalogue, own_cache: Path) -> None:
    environment = own_catalogue["small"]
    environment.requirements_in.write_text("six==1.17.0\n")
    with pytest.raises(LockStale, match=r"envs/small/requirements.txt is older than .*; run `podenv lock small`\.$"):
        venv.sync(environment)
    (environment.folder / "values.yaml").write_text('python: "3.12"\n')
    with pytest.raises(LockStale, match=r"is for Python 3.11, the values ask for 3.12; run `podenv lock small`\.$"):
        venv.sync(Catalogue(own_catalogue.root)["small"])
    environment.lock_file.unlink()
    with pytest.raises(LockMissing, match=r"run `podenv lock small`\.$"):
        venv.sync(environment)
    assert not own_cache.exists()


def test_a_lock_that_changes_while_it_is_installed_is_not_taken_for_done(
    own_catalogue: Catalogue, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = own_catalogue["small"]
    real = process.run

    def edited_meanwhile(*args: object, **kwargs: object) -> object:
        with environment.lock_file.open("a") as file:
            file.write("#\n")
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(process, "run", edited_meanwhile)
    with pytest.raises(LockStale, match=r"was changed while it was installed"):
        venv.sync(environment)
    assert [path for path in (own_cache / "venvs").iterdir() if path.is_dir()] == []


def test_a_wrong_hash_names_the_package(own_catalogue: Catalogue, own_cache: Path) -> None:
    environment = damaged(own_catalogue["small"])
    with pytest.raises(LocalEnvironmentError) as raised:
        venv.sync(environment)
    assert str(raised.value) == (
        f"{environment.lock_file}: what the package index has for six==1.16.0 is not what the lock's hashes say, so it "
        "is not installed; if the lock was edited, run `podenv lock small`, else do not trust the index."
    )


def test_no_network_says_so(
    catalogue: Catalogue, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    for name, value in (("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple"), ("UV_OFFLINE", "1")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(
                LocalEnvironmentError, match=r"^The virtual environment of 'small' needs packages from the "
            ):
                venv.sync(catalogue["small"])


def test_no_uv_says_how_to_get_it(catalogue: Catalogue, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ProgramNotFound, match=r"uv is not on PATH.*pip install"):
        venv.sync(catalogue["small"])


def test_what_uv_says_of_another_failure_is_handed_on(
    catalogue: Catalogue, own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = tmp_path / "uv"
    failing.write_text(
        "#!/bin/sh\n[ $1 = python ] && exec true\necho 'error: the moon' >&2\necho 'is down' >&2\nexit 2\n"
    )
    failing.chmod(0o755)
    monkeypatch.setattr(lock, "uv", lambda: failing)
    with pytest.raises(LocalEnvironmentError) as raised:
        venv.sync(catalogue["small"])
    assert str(raised.value) == f"uv could not install {catalogue['small'].lock_file}: error: the moon is down"


@pytest.mark.parametrize("size", ["4k", "48k", "96k", "144k"])
def test_a_full_disk_says_so_and_leaves_nothing(
    catalogue: Catalogue, mounted: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    disk = mounted(f"size={size}")
    monkeypatch.setenv("PODENV_CACHE", str(disk))
    monkeypatch.delenv("UV_COMPILE_BYTECODE")
    with pytest.raises(LocalEnvironmentError) as raised:
        venv.sync(catalogue["small"])
    assert re.fullmatch(
        rf"The disk of {disk}/venvs is full \(.*No space left on device.*\); free some space \(`podenv prune` removes "
        r"what nothing uses\) or set PODENV_CACHE to a folder on another disk\.",
        str(raised.value),
    )
    assert [path for path in disk.glob("venvs/*") if path.is_dir()] == []


def test_a_cache_that_cannot_be_written_says_so(
    catalogue: Catalogue, mounted: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = mounted("ro")
    monkeypatch.setenv("PODENV_CACHE", str(disk))
    with pytest.raises(LocalEnvironmentError) as raised:
        venv.sync(catalogue["small"])
    assert str(raised.value) == (
        f"{disk}/venvs cannot be written (Read-only file system); set PODENV_CACHE to a folder that can."
    )


def test_a_cache_below_a_file_says_so(catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        LocalEnvironmentError, match=r"cannot be made: Not a directory; set PODENV_CACHE to another folder"
    ):
        venv.sync(catalogue["small"])


def test_a_ready_one_in_a_read_only_cache_is_used(
    catalogue: Catalogue, own_catalogue: Catalogue, mounted: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = mounted("size=20m")
    monkeypatch.setenv("PODENV_CACHE", str(disk))
    made = venv.sync(catalogue["small"])
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with venv.held(own_catalogue["small"]) as folder:  # another project, which cannot register here
        assert folder == made.path


def test_a_held_one_can_be_held_by_others_and_removed_by_nobody(catalogue: Catalogue) -> None:
    with venv.held(catalogue["small"]) as folder, venv.held(catalogue["small"]) as same:
        assert same == folder
        descriptor = os.open(venv.lock_file(folder), os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)


def test_whoever_waited_for_a_lock_that_was_removed_meanwhile_takes_the_new_one(own_cache: Path) -> None:
    folder = own_cache / "venvs" / "py3.11-0123456789abcdef"
    with venv.locked(folder):
        venv.lock_file(folder).unlink()
        with venv.locked(folder, wait=False) as descriptor:
            assert descriptor is not None
            assert os.path.samestat(os.fstat(descriptor), venv.lock_file(folder).stat())
