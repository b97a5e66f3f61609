import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from devcluster import images

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("buildah") is None, reason="needs root and buildah")

LINES = 'COPY pause /pause\nENTRYPOINT ["/pause"]'


def built(folder: Path, content: str) -> Path:
    context = folder / "context"
    context.mkdir(parents=True)
    (context / "pause").write_text(content)
    (context / "pause").chmod(0o755)
    (folder / "image").mkdir()
    images.build(folder / "image", context, LINES, folder / "log")
    return folder / "image"


def test_the_same_files_give_the_same_image_whenever_and_wherever_it_is_built(tmp_path: Path) -> None:
    first, second, other = (built(tmp_path / name, text) for name, text in (("a", "one"), ("b", "one"), ("c", "two")))
    assert images.digest(first) == images.digest(second)
    assert images.digest(first) != images.digest(other)

    def blob(digest: str) -> Path:
        return first / "blobs" / "sha256" / digest.removeprefix("sha256:")

    manifest: dict[str, Any] = json.loads(blob(images.digest(first)).read_text())
    config = json.loads(blob(manifest["config"]["digest"]).read_text())
    assert (config["created"], config["config"]["Entrypoint"]) == ("2025-01-01T00:00:00Z", ["/pause"])
    (layer,) = manifest["layers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip", "or the registry's digest is another"
    with tarfile.open(blob(layer["digest"])) as tar:
        member = tar.getmember("pause")
        assert (member.mode & 0o7777, member.uid, member.mtime, member.size) == (0o755, 0, 1_735_689_600, 3)
