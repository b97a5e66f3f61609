import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

from devcluster import oci


def layout_of(folder: Path, programs: dict[str, bytes]) -> Path:
    folder.mkdir()
    tar = folder / "root.tar"
    oci.tar_of(programs, tar)
    oci.write_layout(folder, tar, {"Entrypoint": ["/pause"]}, epoch=1_735_689_600)
    return folder


def test_the_same_programs_give_the_same_digest_whenever_and_wherever(tmp_path: Path) -> None:
    first = layout_of(tmp_path / "a", {"pause": b"one", "uv": b"two"})
    second = layout_of(tmp_path / "b", {"uv": b"two", "pause": b"one"})
    other = layout_of(tmp_path / "c", {"uv": b"two", "pause": b"1"})
    assert oci.digest(first) == oci.digest(second)
    assert oci.digest(first) != oci.digest(other)


def test_every_blob_is_named_after_its_content_and_the_layer_holds_the_programs(tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "image", {"pause": b"one"})
    blobs = {path.name: path.read_bytes() for path in (layout / "blobs" / "sha256").iterdir()}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in blobs.items()} == {
        name: name for name in blobs
    }

    def blob(described: dict[str, str]) -> bytes:
        return blobs[described["digest"].removeprefix("sha256:")]

    manifest = json.loads(blobs[oci.digest(layout).removeprefix("sha256:")])
    image = json.loads(blob(manifest["config"]))
    layer = gzip.decompress(blob(manifest["layers"][0]))
    assert image["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest()]
    assert image["created"] == "2025-01-01T00:00:00Z"
    assert image["config"] == {"Entrypoint": ["/pause"]}
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        member = tar.getmember("pause")
        assert (member.mode, member.uid, member.mtime, member.size) == (0o755, 0, 0, 3)
