"""Packages from git repositories: locked to a commit, built where they are installed; with real git and uv."""

import json
import shutil
from pathlib import Path

import pytest
from tests.lock.project import environment
from tests.packageindex import BUILD
from tests.sourcetree import Repository

from podenv import lock, venv
from podenv.errors import ImageError, LocalEnvironmentError, ResolutionFailed
from podenv.image import archives
from podenv.lock import cache, requirements


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    return Repository(tmp_path / "git")


def test_a_branch_is_locked_to_its_commit_until_an_upgrade_and_built_where_it_is_installed(
    tmp_path: Path, repository: Repository
) -> None:
    first = repository.git("rev-parse", "HEAD")
    subject = environment(tmp_path, f"tool @ {repository.url}@main\n", python="3.11")
    lock.resolve(subject)
    lock.check(subject)
    assert f"--no-binary tool\n\ntool @ {repository.url}@{first}\n" in subject.lock_file.read_text()
    made = venv.sync(subject)
    site = made.path / "lib/python3.11/site-packages"
    assert (site / "tool.py").read_text() == "VERSION = '1.0'\n"
    origin = json.loads((site / "tool-1.0.dist-info" / "direct_url.json").read_text())
    assert origin["vcs_info"]["commit_id"] == first
    second = repository.commit("2.0")
    lock.check(subject)
    subject = environment(tmp_path, f"tool @ {repository.url}@main  # a comment\n-c limits.txt\n", python="3.11")
    (subject.folder / "limits.txt").write_text("\n")
    lock.resolve(subject)
    assert [requirements.commit(one.url or "") for one in lock.in_git(subject)] == [first]
    lock.resolve(subject, upgrade=True)
    assert [requirements.commit(one.url or "") for one in lock.in_git(subject)] == [second]


def test_a_ref_that_is_gone_is_named(tmp_path: Path, repository: Repository) -> None:
    with pytest.raises(ResolutionFailed) as caught:
        lock.resolve(environment(tmp_path, f"tool @ {repository.url}@v9\n", python="3.11"))
    assert "the repository of tool cannot be read, or has no `v9`" in str(caught.value)
    assert not (tmp_path / "envs" / "etl" / "requirements.txt").exists()


def test_a_locked_commit_that_the_repository_has_no_more_is_named(tmp_path: Path, repository: Repository) -> None:
    subject = environment(tmp_path, f"tool @ {repository.url}@main\n", python="3.11")
    lock.resolve(subject)
    gone = requirements.commit(lock.in_git(subject)[0].url or "")
    shutil.rmtree(repository.bare)
    shutil.rmtree(repository.work / ".git")
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.commit("3.0")
    repository.publish()
    shutil.rmtree(tmp_path / "uv-cache")
    with pytest.raises(LocalEnvironmentError) as caught:
        venv.sync(subject)
    assert str(caught.value) == (
        f"The repository of tool cannot be read, or has no commit {gone} any more; if the ref has moved, run "
        "`podenv lock etl --upgrade`."
    )
    for _ in range(2):  # an image is built from an archive of that commit
        with pytest.raises(
            ImageError, match=rf"no source archive of tool can be made from .*tool\.git@{gone}: git says: "
        ) as told:
            archives.lay_out(subject, lock.in_git(subject), tmp_path / "context", lambda _: None)
        assert str(told.value).endswith("if the ref has moved, run `podenv lock etl --upgrade`.")
        assert list(cache.archives().rglob("*.tar.gz")) == list(cache.archives().glob("*/making-*")) == []
    assert not (tmp_path / "context").exists()


def test_a_repository_whose_metadata_has_to_be_built_can_be_locked(tmp_path: Path, repository: Repository) -> None:
    (repository.work / "backend.py").unlink()
    (repository.work / "setup.py").write_text("from setuptools import setup\nsetup(version='7.0')\n")
    (repository.work / "pyproject.toml").write_text(BUILD + '[project]\nname = "tool"\ndynamic = ["version"]\n')
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", "dynamic")
    repository.git("push", "--quiet", str(repository.bare), "main")
    subject = environment(tmp_path, f"tool @ {repository.url}\n", python="3.11")
    lock.resolve(subject)
    assert (venv.sync(subject).path / "lib/python3.11/site-packages/tool-7.0.dist-info").is_dir()
