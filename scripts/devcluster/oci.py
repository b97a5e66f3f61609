"""Write an image as an OCI layout: the same files give the same bytes.

Source: the OCI image specification, https://github.com/opencontainers/image-spec.
"""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def write_layout(folder: Path, layer: Path, config: Mapping[str, object], *, epoch: int = 0) -> None:
    """Make `folder` an OCI layout of one image with one layer, from an uncompressed tar.

    `config` is the runtime part (Env, Cmd, User …); `epoch` is the time of creation, in seconds.
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    diff_id = _digest_of(layer)
    described = _compress(layer, blobs)
    image = {
        "created": _iso(epoch),
        "architecture": "amd64",
        "os": "linux",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": _iso(epoch), "created_by": "podenv dev-cluster"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _put(blobs, CONFIG, image),
        "layers": [described],
    }
    index = {"schemaVersion": 2, "manifests": [_put(blobs, MANIFEST, manifest)]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def digest(folder: Path) -> str:
    """The digest of the image in a layout, `sha256:…`."""
    index: dict[str, Any] = json.loads((folder / "index.json").read_text())
    return str(index["manifests"][0]["digest"])


def tar_of(programs: Mapping[str, bytes], target: Path) -> None:
    """A tar of executables, by name, that belongs to root and was made at the epoch."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(programs.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))


def _compress(layer: Path, blobs: Path) -> dict[str, object]:
    packed = blobs / "layer"
    # Neither a name nor a time in the header: both would change the digest.
    with layer.open("rb") as source, packed.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    name = _digest_of(packed)
    size = packed.stat().st_size
    packed.rename(blobs / name.removeprefix("sha256:"))
    return {"mediaType": LAYER, "digest": name, "size": size}


def _put(blobs: Path, kind: str, document: Mapping[str, object]) -> dict[str, object]:
    content = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    name = hashlib.sha256(content).hexdigest()
    (blobs / name).write_bytes(content)
    return {"mediaType": kind, "digest": f"sha256:{name}", "size": len(content)}


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _iso(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
