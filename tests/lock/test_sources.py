"""Lock files and pyproject.toml files that a project has already, with real uv and indexes on disk."""

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.lock.project import environment
from tests.packageindex import Index, served

from podenv import lock, venv
from podenv.catalogue.environment import Environment
from podenv.errors import LockStale, RequirementsInvalid, RequirementsMissing, ResolutionFailed, ValuesError

PYPROJECT = """
[project]
name = "pipelines"
version = "1"
requires-python = ">=3.10"
dependencies = ["alpha", "colour; sys_platform == 'win32'"]
[project.optional-dependencies]
ml = ["gamma"]
[dependency-groups]
dev = ["delta", {include-group = "lint"}]
lint = ["lint"]
"""


@pytest.fixture(autouse=True)
def packages(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """alpha needs beta; the rest stands alone."""
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "cache"))
    index.add("alpha", "1.0", requires=["beta"])
    for name in ("beta", "gamma", "delta", "lint", "colour"):
        index.add(name, "1.0")
    return index


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Environment]:
    """Writes a file of the project and an environment whose source it is."""

    def make(name: str, text: str | None = None, values: str = "", *, python: str = "3.11") -> Environment:
        if text is not None:
            (tmp_path / name).write_text(text)
        named = values or f"source: ../../{name}\n"
        return environment(tmp_path, None, python=python, values=named)

    return make


Write = Callable[..., Environment]


def uv(folder: Path, *words: str) -> None:
    subprocess.run([lock.uv(), *words], cwd=folder, check=True, capture_output=True)


def test_a_pyproject_is_locked_with_the_extras_and_groups_that_are_asked_for(write: Write) -> None:
    subject = write("pyproject.toml", PYPROJECT)
    lock.resolve(subject)
    lock.check(subject)
    assert lock.pinned(subject) == {"alpha": "1.0", "beta": "1.0"}
    assert lock.direct(subject) == ["alpha", "colour"]
    text = subject.lock_file.read_text()
    assert text.startswith("# This file is written by `podenv lock etl`; edit ../../pyproject.toml instead.\n")
    assert "    # via pipelines (../../pyproject.toml)\n" in text
    more = write("pyproject.toml", values="source: {file: ../../pyproject.toml, extras: [ML], groups: [dev]}\n")
    with pytest.raises(LockStale, match=r"is older than pyproject\.toml or a file that it includes"):
        lock.check(more)
    lock.resolve(more)
    assert sorted(lock.pinned(more)) == ["alpha", "beta", "delta", "gamma", "lint"]
    assert lock.direct(more) == ["alpha", "colour", "gamma", "delta", "lint"]
    assert venv.sync(more).created


def test_only_what_decides_the_lock_makes_it_stale(write: Write) -> None:
    lock.resolve(write("pyproject.toml", PYPROJECT))
    lock.check(write("pyproject.toml", PYPROJECT + "[tool.ruff]\nline-length = 100\n"))
    for changed in (
        PYPROJECT.replace('"alpha"', '"alpha<2"'),
        PYPROJECT + '[tool.uv]\nconstraint-dependencies = ["beta<2"]\n',
        PYPROJECT + '[tool.uv.sources]\nbeta = { index = "b" }\n[[tool.uv.index]]\nname = "b"\nurl = "https://b/"\n',
    ):
        with pytest.raises(LockStale):
            lock.check(write("pyproject.toml", changed))
    lock.check(write("pyproject.toml", PYPROJECT.replace('["gamma"]', '["gamma<2"]')))


def test_what_a_project_tells_uv_of_its_dependencies_holds(
    write: Write, packages: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.add("beta", "2.0")
    own = Index(tmp_path / "own")
    own.add("gamma", "0.1+cpu")
    own.add("alpha", "9.0")
    with served(own) as url:
        subject = write(
            "pyproject.toml",
            PYPROJECT.replace('["alpha"', '["alpha", "gamma"')
            + '[tool.uv]\nconstraint-dependencies = ["beta<2"]\n[tool.uv.sources]\ngamma = [{ index = "cpu", marker = '
            f'"sys_platform == \'linux\'" }}]\n[[tool.uv.index]]\nname = "cpu"\nurl = "{url}"\nexplicit = true\n',
        )
        lock.resolve(subject)
        markers = lock.linux("3.11", "x86_64")
        assert lock.pinned(subject, markers=markers) == {"alpha": "1.0", "beta": "1.0", "gamma": "0.1+cpu"}
        mac = {**markers, "sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"}
        assert lock.pinned(subject, markers=mac)["gamma"] == "1.0"
        assert venv.sync(subject).created


def test_a_uv_lock_is_taken_as_it_is(write: Write, packages: Index, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    uv(tmp_path, "lock")
    packages.add("beta", "2.0")
    subject = write("uv.lock", values="source: {file: ../../uv.lock, extras: [ml]}\n")
    lock.resolve(subject, upgrade=True)
    lock.check(subject)
    assert lock.pinned(subject) == {"alpha": "1.0", "beta": "1.0", "gamma": "1.0"}
    assert lock.direct(subject) == ["alpha", "colour", "gamma"]
    assert "    # via ../../uv.lock\n" in subject.lock_file.read_text()
    assert ".podenv-lock" not in subject.lock_file.read_text()
    assert venv.sync(subject).created
    uv(tmp_path, "lock", "--upgrade")
    with pytest.raises(LockStale, match=r"is older than uv\.lock"):
        lock.check(subject)
    lock.resolve(subject)
    assert lock.pinned(subject)["beta"] == "2.0"


def test_a_uv_lock_that_is_older_than_its_project_is_refused(write: Write, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    uv(tmp_path, "lock")
    (tmp_path / "pyproject.toml").write_text(PYPROJECT.replace('"alpha"', '"alpha<2"'))
    subject = write("uv.lock")
    with pytest.raises(ResolutionFailed) as caught:
        lock.resolve(subject)
    assert str(caught.value) == (
        f"Environment 'etl': {subject.source} is older than its pyproject.toml; run `uv lock` in "
        f"{subject.source.parent}."
    )
    assert sorted(path.name for path in subject.folder.iterdir()) == ["values.yaml"]


def test_what_others_have_locked_is_not_widened_to_files_that_came_later(
    write: Write, packages: Index, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    uv(tmp_path, "lock")
    subject = write("uv.lock")
    lock.resolve(subject)
    before = subject.lock_file.read_text().split("\n", 2)[2]
    packages.add("beta", "1.0", tag="cp311-cp311-manylinux2014_x86_64")
    subject.lock_file.unlink()
    lock.resolve(subject)
    assert subject.lock_file.read_text().split("\n", 2)[2] == before
    (packages.root / "beta" / "beta-1.0-py3-none-any.whl").unlink()
    packages.add("beta", "1.0", requires=["gamma"], tag="py2.py3-none-any")
    subject.lock_file.unlink()
    with pytest.raises(ResolutionFailed, match=r"what the package index has for beta==1\.0 is not what .*uv\.lock has"):
        lock.resolve(subject)


def test_a_pylock_is_taken_as_it_is(write: Write, packages: Index, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    uv(tmp_path, "export", "--format", "pylock.toml", "--no-default-groups", "--no-emit-project", "-o", "pylock.toml")
    packages.add("beta", "2.0")
    subject = write("pylock.toml")
    lock.resolve(subject)
    lock.check(subject)
    assert lock.pinned(subject) == {"alpha": "1.0", "beta": "1.0"}
    assert venv.sync(subject).created


def test_extras_groups_and_platforms_of_a_pylock_hold(write: Write) -> None:
    text = (
        'lock-version = "1.0"\ncreated-by = "test"\nextras = ["ml"]\ndependency-groups = ["dev"]\n'
        '[[packages]]\nname = "alpha"\nversion = "1.0"\ndependencies = [{ name = "beta" }]\n'
        '[[packages]]\nname = "beta"\nversion = "1.0"\nmarker = "sys_platform == \'darwin\'"\n'
        '[[packages]]\nname = "gamma"\nversion = "1.0"\nmarker = "\'ml\' in extras"\n'
        '[[packages]]\nname = "delta"\nversion = "1.0"\nmarker = "\'dev\' in dependency_groups"\n'
    )
    subject = write("pylock.ml.toml", text, "source: {file: ../../pylock.ml.toml, extras: [ml]}\n")
    with pytest.raises(ResolutionFailed, match=r"what the package index has for alpha==1\.0 is not what"):
        lock.resolve(subject)  # it names no hash
    hashed = text
    for name in ("alpha", "beta", "gamma", "delta"):
        hashed = hashed.replace(
            f'name = "{name}"\nversion = "1.0"\n', f'name = "{name}"\nversion = "1.0"\n{_wheel(name)}'
        )
    subject = write("pylock.ml.toml", hashed, "source: {file: ../../pylock.ml.toml, extras: [ml]}\n")
    lock.resolve(subject)
    assert lock.direct(subject) == ["alpha", "gamma", "delta"]
    assert lock.pinned(subject, markers=lock.linux("3.11", "x86_64")) == {"alpha": "1.0", "gamma": "1.0"}
    assert "beta==1.0 ; platform_machine == 'arm64' and sys_platform == 'darwin' \\\n" in subject.lock_file.read_text()


def _wheel(name: str) -> str:
    file = Path(os.environ["UV_DEFAULT_INDEX"].removeprefix("file://"), name, f"{name}-1.0-py3-none-any.whl")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return f'wheels = [{{ name = "{file.name}", hashes = {{ sha256 = "{digest}" }} }}]\n'


PATH = "../../pyproject.toml"


@pytest.mark.parametrize(
    ("name", "text", "values", "why"),
    [
        ("pyproject.toml", "[tool.x]\n", "", "has no [project] table, so it says no dependencies"),
        ("pyproject.toml", "[[", "", "is not valid TOML: "),
        ("pyproject.toml", '[project]\nname = "x"\ndynamic = ["dependencies"]\n', "", "its dependencies are dynamic"),
        ("pyproject.toml", '[project]\ndependencies = "a"\n', "", "project.dependencies is not right: input should be"),
        ("pyproject.toml", "project = 1\n", "", "project is not right: input should be a valid dictionary"),
        (
            "pyproject.toml",
            f"{PYPROJECT}[tool.uv]\nindex = 1\n",
            "",
            "tool.uv.index is not right: input should be",
        ),
        ("uv.lock", "package = [1]\n", "", "package.0 is not right: input should be a valid dictionary"),
        ("uv.lock", '[[package]]\nversion = "1"\n', "", "package.0.name is missing; correct it."),
        ("pylock.toml", 'lock-version = "1.0"\npackages = [{ version = "1" }]\n', "", "packages.0.name is missing"),
        ("pyproject.toml", '[project]\ndependencies = ["a>>1"]\n', "", "'a>>1' is not a valid requirement: "),
        ("pyproject.toml", '[project]\ndependencies = ["a @ https://u:s3cret@h/a.whl"]\n', "", "holds a login"),
        (
            "pyproject.toml",
            PYPROJECT,
            f"source: {{file: {PATH}, extras: [m]}}\n",
            "no extra 'm' (it has ml)",
        ),
        (
            "pyproject.toml",
            PYPROJECT,
            f"source: {{file: {PATH}, groups: [m]}}\n",
            "no group 'm' (it has dev",
        ),
        (
            "pyproject.toml",
            PYPROJECT.replace(">=3.10", ">=3.12"),
            "",
            "is for Python >=3.12, and the values",
        ),
        ("uv.lock", 'requires-python = ">=3.12"\n', "", "is for Python >=3.12, and the values of 'etl' ask for 3.11"),
        ("pylock.toml", 'lock-version = "2.0"\n', "", "is not a pylock.toml of version 1 (PEP 751)"),
        ("pyproject.toml", None, "", "is missing; correct its path in the values."),
        ("x", None, "source: ../../../pyproject.toml\n", "is outside of the project"),
    ],
)
def test_a_source_that_cannot_be_locked_is_one_error_that_names_it(
    write: Write, tmp_path: Path, name: str, text: str | None, values: str, why: str
) -> None:
    subject = write(name, text, values)
    with pytest.raises((RequirementsInvalid, RequirementsMissing)) as caught:
        lock.resolve(subject)
    assert str(subject.source) in str(caught.value)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert not subject.lock_file.exists()


@pytest.mark.parametrize("value", ["/etc/pyproject.toml", "../../setup.py", "{extras: [ml]}", "[a]"])
def test_a_source_of_another_kind_is_refused_in_the_values(write: Write, value: str) -> None:
    with pytest.raises(ValuesError, match=r"values\.yaml: source"):
        write("x", None, f"source: {value}\n")


def test_two_places_that_ask_for_packages_are_refused_and_options_may_stand_beside_a_source(
    write: Write, packages: Index
) -> None:
    subject = write("pyproject.toml", PYPROJECT.replace('["alpha"', '["only-source"'))
    packages.add_source("only-source", "1.0")
    subject.requirements_in.write_text("beta\n")
    with pytest.raises(RequirementsInvalid, match=r"requirements\.in asks for beta, and `source` in the values names"):
        lock.check(subject)
    subject.requirements_in.write_text("--no-binary only-source\n")
    lock.resolve(subject)
    assert lock.pinned(subject) == {"only-source": "1.0"}


def test_a_pylock_takes_each_package_from_the_index_that_it_names(
    write: Write, packages: Index, tmp_path: Path
) -> None:
    own = Index(tmp_path / "own")
    own.add("private", "1.0")
    with served(own) as url:
        packages.add("private", "1.0", requires=["of-somebody-else"])
        digest = hashlib.sha256((own.root / "private" / "private-1.0-py3-none-any.whl").read_bytes()).hexdigest()
        text = (
            'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "private"\nversion = "1.0"\n'
            f'index = "{url}"\nwheels = [{{ url = "{url}/private/x.whl", hashes = {{ sha256 = "{digest}" }} }}]\n'
        )
        subject = write("pylock.toml", text)
        lock.resolve(subject)
        assert url not in subject.lock_file.read_text()
        assert venv.sync(subject).created
