"""The project's own packages, as far as files tell."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import sourcetree

from podenv.catalogue.environment import Catalogue, Environment
from podenv.errors import PackageUnusable, ValuesError
from podenv.lock import packages


@pytest.fixture
def etl(tmp_path: Path) -> Callable[..., Environment]:
    """Writes an environment with these packages in a project that is a repository."""
    (tmp_path / "repo" / ".git").mkdir(parents=True)

    def make(*paths: str) -> Environment:
        folder = tmp_path / "repo" / "pipelines" / "envs" / "etl"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "values.yaml").write_text(f'python: "3.11"\npackages: {list(paths)}\n')
        return Catalogue(folder.parent)["etl"]

    return make


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    return sourcetree.write(tmp_path / "repo" / "libs" / "acme", "Acme_Lib", "1.0", requires=["six"])


Etl = Callable[..., Environment]
ACME = "../../../libs/acme"


def hashes(environment: Environment) -> tuple[str, str]:
    (package,) = packages.of(environment)
    return package.decisive, packages.sources_hash(environment, package)


def names(environment: Environment) -> list[str]:
    (package,) = packages.of(environment)
    return [name for name, _ in packages.files(environment, package)]


def test_a_package_is_read_from_anywhere_in_the_repository(etl: Etl, acme: Path) -> None:
    (package,) = packages.of(etl(ACME))
    assert (package.path, package.folder, package.name) == (ACME, acme, "acme-lib")
    assert packages.content_hash(etl()) == ""
    assert len(packages.content_hash(etl(ACME))) == 64


def test_code_changes_the_hash_of_the_sources_and_metadata_both_hashes(etl: Etl, acme: Path) -> None:
    decisive, sources = hashes(etl(ACME))
    (acme / "Acme_Lib.py").write_text("VERSION = 'another'\n")
    assert hashes(etl(ACME))[0] == decisive
    assert hashes(etl(ACME))[1] != sources
    (acme / "Acme_Lib.py").write_text("VERSION = '1.0'\n")
    assert hashes(etl(ACME)) == (decisive, sources)
    file = acme / "pyproject.toml"
    file.write_text(file.read_text().replace("six", "six>1"))
    assert hashes(etl(ACME))[0] != decisive


def test_tools_settings_decide_no_dependencies(etl: Etl, acme: Path) -> None:
    decisive, _ = hashes(etl(ACME))
    with (acme / "pyproject.toml").open("a") as file:
        file.write("[tool.ruff]\nline-length = 100\n")
    assert hashes(etl(ACME))[0] == decisive


def test_where_metadata_is_dynamic_any_change_may_change_it(etl: Etl, acme: Path) -> None:
    (acme / "pyproject.toml").write_text(sourcetree.BUILD + '[project]\nname = "acme"\ndynamic = ["version"]\n')
    decisive, _ = hashes(etl(ACME))
    (acme / "setup.py").write_text("# another\n")
    assert hashes(etl(ACME))[0] != decisive


def test_what_tools_leave_behind_and_what_git_ignores_is_no_source(etl: Etl, acme: Path) -> None:
    before = names(etl(ACME))
    assert before == ["Acme_Lib.py", "backend.py", "pyproject.toml"]
    (acme.parent.parent / ".gitignore").write_text("*.log\n/libs/acme/data/\n!keep.log\n")
    (acme / "inner").mkdir()
    (acme / "inner" / ".gitignore").write_text("generated.py\n")
    (acme / "inner" / "__init__.py").touch()
    for left in (
        "x.log", "data/big.csv", "inner/generated.py", "__pycache__/a.pyc", ".venv/a.py", "venv/pyvenv.cfg",
        "venv/b.py", "build/lib/c.py", "dist/d.whl", "acme.egg-info/PKG-INFO", ".env",
    ):  # fmt: skip
        (acme / left).parent.mkdir(parents=True, exist_ok=True)
        (acme / left).write_text("left")
    (acme / "inner" / "build").mkdir()
    (acme / "inner" / "build" / "e.py").touch()
    (acme / "keep.log").touch()
    assert names(etl(ACME)) == [
        *before[:1],
        "backend.py",
        "inner/__init__.py",
        "inner/build/e.py",
        "keep.log",
        before[2],
    ]


def test_the_catalogue_is_no_source_of_a_package_around_it(etl: Etl, tmp_path: Path) -> None:
    sourcetree.write(tmp_path / "repo" / "pipelines", "around", "1.0")
    assert names(etl("../..")) == ["around.py", "backend.py", "pyproject.toml"]


def test_a_file_that_can_be_run_is_another_source(etl: Etl, acme: Path) -> None:
    _, before = hashes(etl(ACME))
    (acme / "Acme_Lib.py").chmod(0o755)
    assert hashes(etl(ACME))[1] != before


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "has no pyproject.toml, so it is not a package that can be built."),
        ("[[", "pyproject.toml is not valid TOML: "),
        (
            '[build-system]\nrequires = []\n[project]\nversion = "1"\n',
            "has no `name` in [project]; a package needs one.",
        ),
        ('[project]\nname = "acme"\n', "has no [build-system] with `requires`, so nothing says how to build it"),
        (
            sourcetree.BUILD + '[project]\nname = "a"\ndependencies = ["b @ https://u:pw@h/b.whl"]\n',
            "holds an address with",
        ),
    ],
)
def test_a_folder_that_is_not_a_package_is_one_error(etl: Etl, acme: Path, content: str | None, why: str) -> None:
    (acme / "pyproject.toml").unlink()
    if content is not None:
        (acme / "pyproject.toml").write_text(content)
    with pytest.raises(Exception, match="acme") as caught:
        packages.of(etl(ACME))
    assert why in str(caught.value)
    assert "pw@" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_that_are_not_in_the_project_are_refused(etl: Etl, acme: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageUnusable, match=r"packages: \.\./\.\./nothing: there is no folder "):
        packages.of(etl("../../nothing"))
    with pytest.raises(PackageUnusable, match=r"values\.yaml: packages: .* is outside of the project .*repo; others"):
        packages.of(etl("../../../../elsewhere"))
    (tmp_path / "outside").mkdir()
    (acme / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(PackageUnusable, match=r"acme/link is a link to a folder, which podenv does not follow"):
        packages.content_hash(etl(ACME))
    (acme / "link").unlink()
    (tmp_path / "file").touch()
    (acme / "link").symlink_to(tmp_path / "file")
    with pytest.raises(PackageUnusable, match=r"acme/link is a link out of the package, which podenv does not follow"):
        packages.content_hash(etl(ACME))
    (acme / "link").unlink()
    (acme / "link").symlink_to(".")
    with pytest.raises(PackageUnusable, match=r"acme/link is a link to a folder"):
        packages.content_hash(etl(ACME))
    for path in ("/srv/acme", "~/acme"):
        with pytest.raises(
            ValuesError, match="is not a valid folder of a package; name it from the environment's folder on"
        ):
            etl(path)


def test_a_link_inside_the_package_is_followed(etl: Etl, acme: Path) -> None:
    (acme / "other.py").symlink_to("Acme_Lib.py")
    assert "other.py" in names(etl(ACME))


def test_two_packages_of_one_name_are_refused(etl: Etl, acme: Path, tmp_path: Path) -> None:
    sourcetree.write(tmp_path / "repo" / "libs" / "other", "acme.lib", "2.0")
    with pytest.raises(PackageUnusable, match=r"packages: two of them are called acme-lib; name one of them\."):
        packages.of(etl(ACME, "../../../libs/other"))


def test_hashing_the_same_sources_again_reads_no_file(etl: Etl, acme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = packages.content_hash(etl(ACME))
    read = Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda file: read(file) if file.suffix != ".py" else pytest.fail(f"{file} was read again")
    )
    assert packages.content_hash(etl(ACME)) == first
    os.utime(acme / "Acme_Lib.py", (1, 1))
    with pytest.raises(pytest.fail.Exception):
        packages.content_hash(etl(ACME))


def test_a_source_that_is_gone_in_the_middle_is_one_error(
    etl: Etl, acme: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.read_bytes

    def read(file: Path) -> bytes:
        if file.name == "Acme_Lib.py":
            file.unlink()
        return real(file)

    monkeypatch.setattr(Path, "read_bytes", read)
    with pytest.raises(PackageUnusable, match=r"Acme_Lib\.py of the package .* cannot be read: No such file or direct"):
        packages.content_hash(etl(ACME))
