"""An image where nothing can be written: what a task with values in storage is told."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from podenv.runtime.exchange import Exchange, Unfit
from podenv.runtime.reference import Reference
from podenv.runtime.tagged import Refused


def test_a_pod_without_a_folder_for_temporary_files_says_what_to_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(value: object) -> None: ...

    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    monkeypatch.chdir(tmp_path)
    address = {"url": "http://127.0.0.1:1/k", "headers": {}, "key": "k"}
    exchange = Exchange([address], {"k": address})
    told = "no folder for temporary files can be written: give the container an emptyDir volume at /tmp, or set TMPDIR"
    with pytest.raises(Unfit, match=f"^{told}$"):
        exchange.arguments(nothing, [Reference("k", "bytes", bytes=1, sha256="00")], {})
    with pytest.raises(Refused, match=f"^{told}$"):
        exchange.keep(tmp_path / "folder")
