import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run
from tests.packageindex import Index
from tests.registryserver import Answer, Asked, serving

from podenv import image, lock
from podenv.catalogue.environment import Catalogue
from podenv.catalogue.reference import ImageRef

DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def podenv(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> Run:
    """podenv in a project of two environments, with no builder on PATH."""
    index.add("alpha", "1.0")
    for name in ("etl", "train"):
        folder = tmp_path / "envs" / name
        folder.mkdir(parents=True)
        (folder / "values.yaml").write_text('python: "3.11"\n')
        (folder / "requirements.in").write_text("alpha\n")
    lock.resolve(Catalogue(tmp_path / "envs")["etl"])
    for name in ("PODENV_CATALOGUE", "PODENV_BUILDER", "PODENV_BASE_IMAGE", "PODENV_UV_IMAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))

    def run(*words: str, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", "from podenv.cli import main; main()", *words]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == exit_code, done.stdout + done.stderr
        return done

    return run


def with_digest(asked: Asked) -> Answer:
    return Answer(200, {"Docker-Content-Digest": DIGEST})


def test_build_says_of_each_environment_what_became_of_it(
    podenv: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serving(with_digest) as (host, requests):
        monkeypatch.setenv("PODENV_REGISTRY", host)
        done = podenv("build", "etl", "--json")
        (row,) = json.loads(done.stdout)
        assert row.pop("seconds") >= 0
        ref: ImageRef = image.wanted(Catalogue(tmp_path / "envs")["etl"])
        assert row == {
            "name": "etl", "state": "there", "image": str(ref), "digest": DIGEST, "log": None, "error": None,
        }  # fmt: skip
        assert podenv("build", "etl").stdout.startswith(f"etl: there already, {ref} {DIGEST} (")
        failed = podenv("build", exit_code=1)
        assert "envs/train/requirements.txt is missing; run `podenv lock train`." in failed.stderr
        assert failed.stderr.endswith("1 of 2 images could not be built.\n")
        assert len(requests) == 3


def test_build_without_any_builder_says_how_to_get_one(podenv: Run) -> None:
    failed = podenv("build", "etl", exit_code=1)
    assert failed.stderr.startswith(
        "error: No builder of images works here: docker is not on PATH; buildah is not on PATH; podman is not on PATH."
    )


def test_verify_of_what_cannot_be_asked_is_an_error(podenv: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODENV_REGISTRY", "127.0.0.1:1")
    failed = podenv("verify", "etl", "--json", exit_code=1)
    (row,) = json.loads(failed.stdout)
    assert (row["holds"], row["image"]) == (False, None)
    assert row["error"].startswith("The registry 127.0.0.1:1 cannot be asked for 127.0.0.1:1/podenv-etl:py3.11-")
    shown = podenv("verify", "etl", exit_code=1)
    assert shown.stdout.splitlines()[1].split() == ["etl", "failed", "-", "-", "-", "-"]


def test_sbom_prints_the_bill_of_one_environment(podenv: Run) -> None:
    bill: dict[str, Any] = json.loads(podenv("sbom", "etl").stdout)
    assert [one["purl"] for one in bill["components"]] == ["pkg:pypi/alpha@1.0"]
    assert "There is no environment 'elt'" in podenv("sbom", "elt", exit_code=1).stderr
