"""Where packages come from: the values' indexes, addresses, source archives; with real uv and indexes on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lock.project import environment
from tests.packageindex import Index, served

from podenv import lock, venv
from podenv.errors import LocalEnvironmentError, LockStale, RequirementsInvalid, ResolutionFailed

USER, PASSWORD = "reader", "s3cret-of-the-index"


@pytest.fixture
def own(tmp_path: Path) -> Index:
    """An index beside the usual one."""
    return Index(tmp_path / "own")


@pytest.fixture
def url(own: Index) -> Iterator[str]:
    with served(own) as address:
        yield address


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "cache"))


def test_image_index_is_where_lock_and_sync_take_packages_from(
    tmp_path: Path, own: Index, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    own.add("private", "1.0")
    subject = environment(tmp_path, "private\n", python="3.11", values=f"image: {{index: '{url}'}}\n")
    lock.resolve(subject)
    assert lock.pinned(subject) == {"private": "1.0"}
    assert url not in subject.lock_file.read_text()
    assert venv.sync(subject).created
    with pytest.raises(LockStale, match="was made with other indexes than the values name"):
        lock.check(environment(tmp_path, "private\n", python="3.11"))


def test_an_index_of_the_values_is_asked_first_for_every_package(
    tmp_path: Path, index: Index, own: Index, url: str
) -> None:
    index.add("alpha", "1.0", requires=["beta"])
    index.add("beta", "1.0")
    own.add("beta", "0.5")
    subject = environment(tmp_path, "alpha\n", python="3.11", values=f"indexes: [{{name: own, url: '{url}'}}]\n")
    lock.resolve(subject)
    assert lock.pinned(subject) == {"alpha": "1.0", "beta": "0.5"}
    assert venv.sync(subject).created


def test_packages_of_an_index_come_from_it_alone_and_all_others_do_not(
    tmp_path: Path, index: Index, own: Index, url: str
) -> None:
    index.add("vision", "1.0", requires=["torch"])
    index.add("torch", "2.0")
    index.add("numpy", "1.0")
    own.add("torch", "1.5+cpu", requires=["numpy"])
    own.add("numpy", "9.0")
    own.add("unneeded", "1.0", requires=["missing"])
    subject = environment(
        tmp_path,
        "vision\n",
        python="3.11",
        values=f"indexes: [{{name: pytorch-cpu, url: '{url}', packages: [Torch, unneeded]}}]\n",
    )
    index.add("missing", "1.0")
    lock.resolve(subject)
    assert lock.pinned(subject) == {"vision": "1.0", "torch": "1.5+cpu", "numpy": "1.0"}
    body = subject.lock_file.read_text()
    assert "    # via vision\n" in body.replace("    # via\n    #   vision\n", "    # via vision\n")
    assert "podenv-indexes" not in body
    before = subject.lock_file.read_bytes()
    assert lock.resolve(subject, upgrade=True) is False
    assert subject.lock_file.read_bytes() == before
    made = venv.sync(subject)
    names = sorted(path.name for path in made.path.glob("lib/python3.11/site-packages/*.dist-info"))
    assert names == ["numpy-1.0.dist-info", "torch-1.5+cpu.dist-info", "vision-1.0.dist-info"]


def test_the_login_of_an_index_comes_from_the_variables_that_uv_names_and_is_nowhere_else(
    tmp_path: Path, index: Index, own: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.add("private", "1.0")
    own.add("torch", "1.0")
    with served(own, (USER, PASSWORD)) as url:
        values = f"indexes: [{{name: own, url: '{url}'}}, {{name: two, url: '{url}/', packages: [torch]}}]\n"
        subject = environment(tmp_path, "private\ntorch\n", python="3.11", values=values)
        with pytest.raises(ResolutionFailed, match="a package index wants other credentials to resolve"):
            lock.resolve(subject)
        for name in ("OWN", "TWO"):
            monkeypatch.setenv(f"UV_INDEX_{name}_USERNAME", USER)
            monkeypatch.setenv(f"UV_INDEX_{name}_PASSWORD", PASSWORD)
        lock.resolve(subject)
        made = venv.sync(subject)
    kept = [subject.lock_file, *(file for file in made.path.rglob("*") if file.is_file() and not file.is_symlink())]
    assert [file for file in kept if PASSWORD.encode() in file.read_bytes()] == []


@pytest.mark.parametrize("password", ["", "another"])
def test_an_index_of_some_packages_that_wants_a_login_is_said(
    tmp_path: Path, index: Index, own: Index, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.add("torch", "1.0")
    wants = "a package index wants other credentials to resolve .*(?s:.*)could not be queried"
    with served(own, (USER, PASSWORD)) as url:
        subject = environment(
            tmp_path, "torch\n", python="3.11", values=f"indexes: [{{name: own, url: '{url}', packages: [torch]}}]\n"
        )
        monkeypatch.setenv("UV_INDEX_OWN_USERNAME", USER)
        monkeypatch.setenv("UV_INDEX_OWN_PASSWORD", PASSWORD)
        lock.resolve(subject)
        locked = subject.lock_file.read_bytes()
        monkeypatch.setenv("UV_INDEX_OWN_PASSWORD", password)
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "another-cache"))
        with pytest.raises(ResolutionFailed, match=wants):
            lock.resolve(subject, upgrade=True)
        assert subject.lock_file.read_bytes() == locked
        with pytest.raises(LocalEnvironmentError, match=r"an index that wants other credentials \(An index URL \("):
            venv.sync(subject)
    assert sorted(file.name for file in subject.folder.iterdir()) == [
        "requirements.in", "requirements.txt", "values.yaml"
    ]  # fmt: skip


def test_an_index_that_is_down_is_said(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    subject = environment(tmp_path, "alpha\n", values="indexes: [{name: own, url: 'http://127.0.0.1:9/simple'}]\n")
    with pytest.raises(ResolutionFailed, match="the package index cannot be reached to resolve"):
        lock.resolve(subject)
    assert not subject.lock_file.exists()


def test_a_source_archive_is_refused_with_the_way_out_which_works(
    tmp_path: Path, own: Index, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.add_source("archived", "1.0")
    address = f"archived @ {url}/archived/archived-1.0.tar.gz"
    subject = environment(tmp_path, f"{address}\n", python="3.11")
    with pytest.raises(RequirementsInvalid) as caught:
        lock.check(subject)
    assert str(caught.value) == (
        f"{subject.requirements_in}, line 1: {address!r}: this is a source archive, and only wheels are used; add a "
        "line `--no-binary archived` to have it built where it is installed, or link a wheel of it."
    )
    subject = environment(tmp_path, f"{address}\n--no-binary archived\n", python="3.11")
    lock.resolve(subject)
    made = venv.sync(subject)
    assert (made.path / "lib/python3.11/site-packages/archived.py").read_text() == "VERSION = '1.0'\n"


def test_a_source_archive_deep_down_is_refused_with_the_way_out(
    tmp_path: Path, index: Index, own: Index, url: str
) -> None:
    own.add_source("archived", "1.0")
    own.add("alpha", "1.0", requires=[f"archived @ {url}/archived/archived-1.0.tar.gz"])
    with pytest.raises(ResolutionFailed, match="source archive, and only wheels are used; write `--no-binary arch"):
        lock.resolve(environment(tmp_path, f"alpha @ {url}/alpha/alpha-1.0-py3-none-any.whl\n"))


def test_a_login_deep_down_is_refused_and_not_shown(
    tmp_path: Path, index: Index, own: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.add("beta", "1.0")
    with served(own, (USER, PASSWORD)) as url:
        address = url.replace("//", f"//{USER}:{PASSWORD}@")
        own.add("alpha", "1.0", requires=[f"beta @ {address}/beta/beta-1.0-py3-none-any.whl"])
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
        with pytest.raises(ResolutionFailed, match="holds a login, which has no place in a lock") as caught:
            lock.resolve(environment(tmp_path, f"alpha @ {url}/alpha/alpha-1.0-py3-none-any.whl\n"))
    assert PASSWORD not in str(caught.value)


def test_a_machine_that_the_lock_does_not_hold_for_is_told_so(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("alpha", "1.0")
    subject = environment(tmp_path, "alpha\n", python="3.11", values="platforms: []\n")
    lock.resolve(subject)
    monkeypatch.setattr("podenv.lock.platforms.here", lambda: "macos/arm64")
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(LocalEnvironmentError) as caught:
        venv.sync(subject)
    assert str(caught.value) == (
        "The lock of 'etl' holds for linux/amd64, and this machine is macos/arm64; add macos/arm64 to `platforms` in "
        "the values and run `podenv lock etl`."
    )
