"""Images: what an unchanged `podenv build` of many environments costs, with a real registry."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import urllib3

from benchmarks.report import Comparison, show
from podenv import image
from podenv.catalogue.environment import Catalogue
from podenv.catalogue.reference import ImageRef

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = 50
PROMISED_SECONDS = 3.0
PODENV = [sys.executable, "-c", "from podenv.cli import main; main()"]


def lay_out(root: Path) -> Catalogue:
    """A catalogue of environments with the lock of one that the project has."""
    source = ROOT / "envs" / "data-ingestion"
    for number in range(ENVIRONMENTS):
        folder = root / "envs" / f"bench-{number:02}"
        folder.mkdir(parents=True)
        for name in ("values.yaml", "requirements.in", "requirements.txt"):
            shutil.copy(source / name, folder / name)
    return Catalogue(root / "envs")


def put_there(ref: ImageRef) -> None:
    """Give the tag to an image without content: the registry says that it is there, nothing more is asked."""
    config = b"{}"
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    kind = "application/vnd.oci.image.manifest.v1+json"
    described = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": len(config)}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": described, "layers": []})
    address = f"http://{ref.host}/v2/{ref.path}"
    upload = urllib3.request("POST", f"{address}/blobs/uploads/")
    place = f"{upload.headers['Location']}&digest={digest}"
    for method, url, body, content in (
        ("PUT", place, config, "application/octet-stream"),
        ("PUT", f"{address}/manifests/{ref.tag}", manifest.encode(), kind),
    ):
        answer = urllib3.request(method, url, body=body, headers={"Content-Type": content})
        assert answer.status == 201, (answer.status, answer.data)


def unchanged() -> Comparison:
    """The whole command, its start included, when every tag is in the registry."""
    with tempfile.TemporaryDirectory() as folder:
        catalogue = lay_out(Path(folder))
        for environment in catalogue:
            put_there(image.wanted(environment))
        times = []
        for _ in range(5):
            began = time.perf_counter()
            argv = [*PODENV, "--catalogue", str(catalogue.root), "build", "--json"]
            done = subprocess.run(argv, check=True, capture_output=True, text=True)
            times.append(time.perf_counter() - began)
            assert [one["state"] for one in json.loads(done.stdout)] == ["there"] * ENVIRONMENTS
    return Comparison(
        f"unchanged build of {ENVIRONMENTS} environments",
        f"{PROMISED_SECONDS:g} s",
        median(times),
        PROMISED_SECONDS,
        1.0,
    )


def main() -> bool:
    """True if every ratio is what the project claims; needs a registry on this machine, in PODENV_REGISTRY."""
    if not os.environ.get("PODENV_REGISTRY", "").startswith(("127.", "localhost")):
        sys.exit('error: PODENV_REGISTRY names no registry of this machine; eval "$(scripts/dev-cluster env)"')
    return show("images", [unchanged()])
