import os
from pathlib import Path

import pytest

from podenv.errors import SettingError
from podenv.image import contexts
from podenv.image.build import Images
from podenv.lock.indexes import IndexConfig


def test_secrets_of_a_build_are_files_that_nobody_else_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bundle").write_text("CERTIFICATES")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "bundle"))
    files = contexts.secrets(tmp_path / "secrets", IndexConfig("for uv", "of packages", frozenset()))
    assert files["ca"].read_text() == "CERTIFICATES"
    assert (files["uv"].read_text(), files["pins"].read_text()) == ("for uv", "of packages")
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone"))
    with pytest.raises(SettingError, match=r"^SSL_CERT_FILE names .*gone, which cannot be read"):
        contexts.secrets(tmp_path / "again", IndexConfig("", "", frozenset()))


def test_builds_are_as_many_as_there_are_cores() -> None:
    images = Images()
    taken = 0
    while images._cores.acquire(blocking=False):
        taken += 1
    assert taken == os.cpu_count()
