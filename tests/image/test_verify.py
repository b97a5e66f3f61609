import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.packageindex import Index

from podenv import lock
from podenv.catalogue.environment import Catalogue, Environment
from podenv.catalogue.reference import ImageRef
from podenv.errors import LockStale
from podenv.image import audit, sbom, verify

REF = ImageRef("localhost", "podenv-etl", tag="t")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def environment(tmp_path: Path, index: Index) -> Environment:
    """Asks for alpha, which needs beta; locked."""
    index.add("alpha", "1.0", requires=["beta"])
    index.add("beta", "2.0")
    folder = tmp_path / "envs" / "etl"
    folder.mkdir(parents=True)
    (folder / "values.yaml").write_text(f'python: "{HERE}"\ndescription: Rows\n')
    (folder / "requirements.in").write_text("alpha\n")
    made = Catalogue(tmp_path / "envs")["etl"]
    lock.resolve(made)
    return made


class Installed:
    """A virtual environment with the packages in it, as an image has them."""

    def __init__(self, root: Path, index: Index) -> None:
        venv.EnvBuilder(with_pip=False, symlinks=True).create(root)
        self.python = root / "bin" / "python"
        self.site = next(root.glob("lib/python*/site-packages"))
        for wheel in index.root.glob("*/*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(self.site)

    def judged(self, environment: Environment) -> verify.Verified:
        script = Path(audit.__file__).read_bytes()
        done = subprocess.run([self.python, "-I", "-"], input=script, capture_output=True, check=True)
        line = done.stdout.decode().splitlines()[-1]
        return verify.judge(environment, REF, json.loads(line.removeprefix(audit.MARK)))


@pytest.fixture
def installed(tmp_path: Path, index: Index, environment: Environment) -> Installed:
    return Installed(tmp_path / "image", index)


def test_an_image_that_is_its_lock_holds(installed: Installed, environment: Environment) -> None:
    found = installed.judged(environment)
    assert found.holds
    assert (found.packages, found.modules, found.python) == (2, 2, sys.version.split()[0])


def test_each_difference_is_named(installed: Installed, environment: Environment, index: Index) -> None:
    site = installed.site
    (site / "beta.py").unlink()
    (site / "alpha.py").write_text("VERSION = 'another'\n")
    index.add("gamma", "3.0")
    with zipfile.ZipFile(index.root / "gamma" / "gamma-3.0-py3-none-any.whl") as archive:
        archive.extractall(site)
    assert installed.judged(environment).differences == (
        "gamma 3.0 is installed and not in the lock",
        "alpha: alpha.py was changed",
        "beta: beta.py is missing",
        "import beta fails: ModuleNotFoundError: No module named 'beta'",
    )


def test_another_version_or_a_missing_package_is_seen(installed: Installed, environment: Environment) -> None:
    site = installed.site
    for file in (site / "beta-2.0.dist-info").iterdir():
        file.unlink()
    (site / "beta-2.0.dist-info").rmdir()
    metadata = site / "alpha-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))
    assert installed.judged(environment).differences == (
        "alpha is 1.1, the lock says 1.0",
        "beta 2.0 is in the lock and not installed",
        "alpha: alpha-1.0.dist-info/METADATA was changed",
    )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise RuntimeError('no driver')", "RuntimeError: no driver"),
        ("import os\nos._exit(3)", "it ended the process (3)"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "it ended the process (-11)"),
        ("import sys\nsys.exit(0)", "it ended the process (0)"),
        ("print('noise', end='')", None),
    ],
)
def test_an_import_may_fail_crash_or_end_the_process(
    installed: Installed, environment: Environment, body: str, why: str | None
) -> None:
    (installed.site / "alpha.py").write_text(body + "\n")
    found = [one for one in installed.judged(environment).differences if one.startswith("import")]
    assert found == ([f"import alpha fails: {why}"] if why else [])


def test_another_python_is_seen(installed: Installed, environment: Environment) -> None:
    (environment.folder / "values.yaml").write_text('python: "3.8"\n')
    other = Catalogue(environment.folder.parent)["etl"]
    assert installed.judged(other).differences == (f"Python is {sys.version.split()[0]}, the values say 3.8",)


def test_a_bill_of_materials_lists_what_the_lock_installs(environment: Environment) -> None:
    bill: dict[str, Any] = sbom.bill(environment)
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert bill["metadata"]["component"]["name"] == "etl"
    assert [one["purl"] for one in bill["components"]] == ["pkg:pypi/alpha@1.0", "pkg:pypi/beta@2.0"]
    wheel = environment.folder.parents[1] / "index" / "alpha" / "alpha-1.0-py3-none-any.whl"
    hashes = bill["components"][0]["externalReferences"][0]["hashes"]
    assert hashes == [{"alg": "SHA-256", "content": sha256(wheel)}]
    assert bill["dependencies"] == [{"ref": "podenv/etl", "dependsOn": ["pkg:pypi/alpha@1.0", "pkg:pypi/beta@2.0"]}]
    assert bill == sbom.bill(environment)


def sha256(file: Path) -> str:
    import hashlib

    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_bill_of_a_stale_lock_is_refused(environment: Environment) -> None:
    environment.requirements_in.write_text("beta\n")
    with pytest.raises(LockStale):
        sbom.bill(environment)


def test_a_bill_is_for_the_image_not_for_this_machine(environment: Environment) -> None:
    environment.requirements_in.write_text("alpha; sys_platform == 'darwin'\nbeta; sys_platform == 'linux'\n")
    lock.resolve(environment)
    assert [one["name"] for one in sbom.bill(environment)["components"]] == ["beta"]
