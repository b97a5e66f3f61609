"""What `podenv prune` removes, and what it never does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from podenv import lock, venv
from podenv.catalogue.environment import Catalogue
from podenv.venv import prune


@pytest.fixture
def project(catalogue: Catalogue, tmp_path: Path, own_cache: Path) -> Catalogue:
    """A project with two environments, both synced."""
    root = tmp_path / "project" / "envs"
    shutil.copytree(catalogue.root, root)
    for environment in Catalogue(root):
        venv.sync(environment)
    return Catalogue(root)


def left() -> list[str]:
    return sorted(path.name for path in venv.venvs_folder().iterdir())


def test_what_an_environment_uses_is_kept(project: Catalogue) -> None:
    keys = tuple(sorted(venv.sync(environment).key for environment in project))
    assert prune.prune() == prune.Pruned(removed=(), kept=keys, in_use=())


def test_an_environment_that_is_gone_or_has_a_new_lock_gives_its_disk_back(project: Catalogue) -> None:
    gone, old = venv.sync(project["small"]), venv.sync(project["old"])
    shutil.rmtree(project.root / "small")
    (project.root / "old" / "requirements.in").write_text("iniconfig==1.1.1\n")
    lock.resolve(project["old"])
    new = venv.sync(project["old"])
    pruned = prune.prune()
    assert sorted(one.key for one in pruned.removed) == sorted([gone.key, old.key])
    assert pruned.kept == (new.key,)
    assert left() == sorted([new.key, f"{new.key}.catalogues", f"{new.key}.lock"])
    assert pruned.freed_bytes == sum(one.freed_bytes for one in pruned.removed)
    assert 50_000 < pruned.freed_bytes < 5_000_000


def test_files_that_uvs_cache_still_holds_are_not_counted_as_freed(own_cache: Path, tmp_path: Path) -> None:
    folder = own_cache / "venvs" / "py3.11-0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / "own").write_bytes(b"x" * 100_000)
    (tmp_path / "cached").write_bytes(b"x" * 900_000)
    os.link(tmp_path / "cached", folder / "linked")
    assert 100_000 <= prune.prune().freed_bytes < 110_000


def test_another_projects_environment_keeps_a_shared_one(project: Catalogue, tmp_path: Path) -> None:
    shutil.copytree(project.root, tmp_path / "other" / "envs")
    shared = venv.sync(Catalogue(tmp_path / "other" / "envs")["small"])
    shutil.rmtree(project.root.parent)
    pruned = prune.prune()
    assert pruned.kept == (shared.key,)
    assert len(pruned.removed) == 1


def test_one_that_a_task_runs_in_is_never_removed(project: Catalogue) -> None:
    environment = project["small"]
    with venv.held(environment) as folder:
        shutil.rmtree(project.root)
        pruned = prune.prune()
        assert pruned.in_use == (folder.name,)
        assert venv.is_complete(folder)
    assert [one.key for one in prune.prune().removed] == [folder.name]


def test_broken_leftovers_go_though_an_environment_names_them(project: Catalogue) -> None:
    broken, dangling = venv.sync(project["small"]).path, venv.sync(project["old"]).path
    (broken / "podenv.json").unlink()
    (dangling / "bin" / "python").unlink()
    orphan = venv.venvs_folder() / "py3.9-0123456789abcdef.lock"
    orphan.touch()
    assert [one.path for one in prune.prune().removed] == sorted([broken, dangling])
    assert left() == []


def test_what_podenv_did_not_put_there_stays(own_cache: Path) -> None:
    (own_cache / "venvs" / "mine").mkdir(parents=True)
    assert prune.prune() == prune.Pruned(removed=(), kept=(), in_use=())
    assert left() == ["mine"]


def test_a_catalogue_that_cannot_be_read_keeps_all_that_it_has_used(project: Catalogue) -> None:
    keys = tuple(sorted(venv.sync(environment).key for environment in project))
    (project.root / "small" / "values.yaml").write_text("pyton: 3\n")
    assert prune.prune().kept == keys


def test_an_environment_without_a_lock_uses_nothing(project: Catalogue) -> None:
    unused = venv.sync(project["small"]).key
    project["small"].lock_file.unlink()
    assert [one.key for one in prune.prune().removed] == [unused]


def test_a_cache_that_is_not_there_has_nothing_to_remove(own_cache: Path) -> None:
    assert prune.prune() == prune.Pruned(removed=(), kept=(), in_use=())
    assert not own_cache.exists()
