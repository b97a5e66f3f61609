"""What tests on a real cluster share: helm, an image that was built, a stage for releases."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chart.helm import SUPPORTED, fetch
from tests.cluster.releases import Stage, swept

from podenv.catalogue.environment import Catalogue
from podenv.catalogue.reference import ImageRef
from podenv.image.build import Images, Options

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def built_image() -> ImageRef:
    """The image of the smallest of the real environments, by its digest."""
    built = Images(Options(push=True)).build(Catalogue(ROOT / "envs")["data-ingestion"])
    assert built.digest is not None
    return built.ref.at(built.digest)


@pytest.fixture
def stage(tmp_path: Path, built_image: ImageRef, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A catalogue of the test's own, whose namespaces are removed afterwards."""
    monkeypatch.setenv("PODENV_HELM", os.environ.get("PODENV_HELM") or str(fetch(SUPPORTED[0])))
    made = Stage(tmp_path, f"podenv-rt{uuid.uuid4().hex[:6]}-", built_image)
    with swept(made.cluster, made.prefix):
        yield made
