"""The project's own packages in an environment: their dependencies locked, their wheels built and installed."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests import sourcetree
from tests.lock.project import environment
from tests.packageindex import Index

from podenv import lock, process, venv
from podenv.catalogue.environment import Environment
from podenv.errors import LockStale, PackageUnusable, ResolutionFailed
from podenv.image import contexts
from podenv.lock import cache, packages, wheels

ACME = "../../libs/acme"


@pytest.fixture(autouse=True)
def _index(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "cache"))
    index.add("alpha", "1.0", requires=["beta"])
    index.add("alpha", "2.0", requires=["beta"])
    index.add("beta", "1.0")
    index.add("gamma", "1.0")
    index.add("acme", "9.0")  # of somebody else


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    return sourcetree.write(tmp_path / "libs" / "acme", "acme", "1.0", requires=["alpha<2"])


@pytest.fixture
def etl(tmp_path: Path) -> Callable[..., Environment]:
    def make(asked: str | None = "gamma\n", paths: Sequence[str] = (ACME,), values: str = "") -> Environment:
        return environment(tmp_path, asked, python="3.11", values=f"packages: {list(paths)}\n{values}")

    return make


Etl = Callable[..., Environment]


def site(environment: Environment) -> Path:
    return venv.sync(environment).path / "lib/python3.11/site-packages"


def test_a_package_joins_the_resolution_and_is_installed(etl: Etl, acme: Path, tmp_path: Path) -> None:
    subject = etl()
    assert lock.resolve(subject) is True
    lock.check(subject)
    assert lock.pinned(subject) == {"gamma": "1.0", "alpha": "1.0", "beta": "1.0", "acme": "1.0"}
    assert lock.direct(subject) == ["gamma", "acme"]
    text = subject.lock_file.read_text()
    assert f"\n# podenv-package acme==1.0 {ACME} sha256:" in text
    assert "    # via acme\n" in text
    assert "file://" not in text
    assert str(tmp_path) not in text
    assert lock.resolve(subject) is False
    installed = site(subject)
    assert (installed / "acme.py").read_text() == "VERSION = '1.0'\n"
    assert sorted(path.name for path in acme.iterdir()) == ["acme.py", "backend.py", "pyproject.toml"]


def test_a_change_of_code_needs_no_lock_and_is_there_after_the_next_sync(etl: Etl, acme: Path) -> None:
    subject = etl()
    lock.resolve(subject)
    before = site(subject)
    (acme / "acme.py").write_text("VERSION = 'changed'\n")
    lock.check(subject)
    after = site(subject)
    assert after != before
    assert (after / "acme.py").read_text() == "VERSION = 'changed'\n"
    (acme / "acme.py").write_text("VERSION = '1.0'\n")
    assert venv.sync(subject).created is False


def test_a_change_of_dependencies_or_version_makes_the_lock_stale(etl: Etl, acme: Path) -> None:
    subject = etl()
    lock.resolve(subject)
    sourcetree.write(acme, "acme", "1.0", requires=["alpha>=2"])
    with pytest.raises(LockStale) as caught:
        lock.check(subject)
    assert str(caught.value) == (
        f"{subject.lock_file} is older than the metadata of the package {ACME}; run `podenv lock etl`."
    )
    lock.resolve(subject)
    assert lock.pinned(subject)["alpha"] == "2.0"
    sourcetree.write(acme, "acme", "1.1", requires=["alpha>=2"])
    with pytest.raises(LockStale):
        venv.sync(subject)
    lock.resolve(subject)
    assert lock.pinned(subject)["acme"] == "1.1"
    with pytest.raises(LockStale, match=r"has the package \.\./\.\./libs/acme, which the values name no more"):
        lock.check(etl(paths=()))
    lock.resolve(etl(paths=()))
    with pytest.raises(LockStale, match=r"lacks the package \.\./\.\./libs/acme of the values"):
        lock.check(etl())


def test_packages_that_need_each_other_are_taken_from_the_project(etl: Etl, acme: Path, tmp_path: Path) -> None:
    sourcetree.write(tmp_path / "libs" / "tools", "acme-tools", "3.0", requires=["acme==1.0", "gamma"])
    subject = etl("acme\n", (ACME, "../../libs/tools"))
    lock.resolve(subject)
    assert lock.pinned(subject) == {
        "alpha": "1.0", "beta": "1.0", "gamma": "1.0", "acme": "1.0", "acme-tools": "3.0"
    }  # fmt: skip
    assert (site(subject) / "acme_tools.py").exists()


def test_a_wheel_is_the_same_wherever_it_is_built(
    etl: Etl, acme: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package,) = packages.of(etl())
    first = wheels.build(etl(), package).read_bytes()
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "other"))
    (acme / "acme.py").touch()
    (acme / "build").mkdir()
    (acme / "build" / "left.py").touch()
    assert wheels.build(etl(), package).read_bytes() == first
    monkeypatch.setattr("podenv.process.run", lambda *_, **__: pytest.fail("a program was started"))
    assert wheels.build(etl(), package).read_bytes() == first


def test_a_build_that_fails_is_one_line_with_its_last_words_and_leaves_nothing(etl: Etl, acme: Path) -> None:
    with (acme / "backend.py").open("a") as file:
        file.write("def build_wheel(*_, **__): raise SystemExit('the compiler is on holiday')\n")
    subject = etl()
    with pytest.raises(PackageUnusable) as caught:
        lock.resolve(subject)
    assert str(caught.value).startswith(f"{acme} cannot be built into a wheel: ")
    assert "the compiler is on holiday" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not subject.lock_file.exists()
    assert sorted(path.name for path in subject.folder.iterdir()) == ["requirements.in", "values.yaml"]
    assert list((cache.wheels() / "acme").iterdir()) == []


def test_a_build_backend_that_is_not_there_is_named_without_advice_for_uv(etl: Etl, acme: Path, tmp_path: Path) -> None:
    about = acme / "pyproject.toml"
    about.write_text(about.read_text().replace('build-backend = "backend"', 'build-backend = "nothing.there"'))
    with pytest.raises(PackageUnusable) as caught:
        lock.resolve(etl())
    assert "ModuleNotFoundError: No module named 'nothing'" in str(caught.value)
    for never in ("--no-build-isolation", "extra-build-dependencies", str(tmp_path / "cache"), "\n"):
        assert never not in str(caught.value)


def test_a_package_with_compiled_parts_is_refused_with_the_way_out(
    etl: Etl, acme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_WHEEL_TAG", "cp311-cp311-linux_x86_64")
    with pytest.raises(PackageUnusable, match=r"which fits this kind of machine alone; `packages` takes pure Python"):
        lock.resolve(etl())


def test_a_package_that_cannot_live_with_the_rest_is_explained(etl: Etl, acme: Path) -> None:
    with pytest.raises(ResolutionFailed, match="no set of versions satisfies") as caught:
        lock.resolve(etl("alpha>=2\n"))
    assert "acme" in str(caught.value)


def test_a_pyproject_that_names_a_package_of_its_workspace_takes_it_from_packages(
    etl: Etl, acme: Path, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "app"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["acme", "gamma"]\n'
        '[tool.uv.sources]\nacme = { path = "libs/acme" }\n'
    )
    with pytest.raises(ResolutionFailed, match="name it in `packages` of"):
        lock.resolve(etl(None, (), "source: ../../pyproject.toml\n"))
    subject = etl(None, values="source: ../../pyproject.toml\n")
    lock.resolve(subject)
    assert lock.pinned(subject) == {"gamma": "1.0", "alpha": "1.0", "beta": "1.0", "acme": "1.0"}
    process.run([lock.uv(), "lock"], cwd=tmp_path)
    with pytest.raises(ResolutionFailed, match="a folder of the project; name it in `packages` of"):
        lock.resolve(etl(None, (), "source: ../../uv.lock\n"))
    subject = etl(None, values="source: ../../uv.lock\n")
    lock.resolve(subject)
    assert lock.pinned(subject) == {"gamma": "1.0", "alpha": "1.0", "beta": "1.0", "acme": "1.0"}
    assert (site(subject) / "acme.py").exists()


def test_of_a_large_repository_only_wheels_and_the_lock_reach_the_context_of_a_build(
    etl: Etl, acme: Path, tmp_path: Path
) -> None:
    (tmp_path / "libs" / "huge").mkdir()
    (tmp_path / "libs" / "huge" / "data.bin").write_bytes(b"0" * 1_000_000)
    subject = etl()
    lock.resolve(subject)
    context = tmp_path / "context"
    contexts.lay_out(subject, context, {}, platform="linux/amd64", say=lambda _: None)
    (package,) = packages.of(subject)
    digest = packages.sources_hash(subject, package)
    assert sorted(str(file.relative_to(context)) for file in context.rglob("*") if file.is_file()) == [
        "Containerfile",
        "install/requirements.txt",
        f"packages/{digest}/acme-1.0-py3-none-any.whl",
    ]


def test_wheels_that_nothing_uses_are_pruned_after_a_while(etl: Etl, acme: Path) -> None:
    (package,) = packages.of(etl())
    wheel = wheels.build(etl(), package)
    cache.remove_unused()
    assert wheel.exists()
    cache.remove_unused(wheel.parent.stat().st_mtime + 61 * 86_400)
    assert list(cache.wheels().iterdir()) == []
