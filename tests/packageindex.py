"""A package index on disk, so that a test says exactly which versions there are."""

import base64
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from tests.registryserver import Answer, Asked, basic, serving

BUILD = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'


class Index:
    """A simple index (PEP 503) of wheels that hold one empty module each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = root.as_uri()

    def add(
        self,
        name: str,
        version: str,
        *,
        requires: Sequence[str] = (),
        tag: str = "py3-none-any",
        files: Mapping[str, str] | None = None,
    ) -> Path:
        """Publish a release; a second one of the same version has another hash.

        ``files`` are what the wheel holds: path -> text; none: one module, named as the package.
        """
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        wheel = folder / f"{name}-{version}-{tag}.whl"
        info = f"{name}-{version}.dist-info"
        metadata = "".join(f"Requires-Dist: {one}\n" for one in requires)
        own = {f"{name}.py": f"VERSION = {version!r}\n"} if files is None else files
        files = {
            **own,
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}",
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        }
        record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
                archive.writestr(path, text)
        self._list(folder)
        return wheel

    def add_source(self, name: str, version: str) -> Path:
        """Publish a source archive; setuptools builds one module from it."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder / f"{name}-{version}.tar.gz"
        files = {
            "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n",
            "pyproject.toml": BUILD + f'[project]\nname = "{name}"\nversion = "{version}"\n',
            f"{name}.py": f"VERSION = {version!r}\n",
        }
        with tarfile.open(archive, "w:gz") as tar:
            for path, text in files.items():
                info = tarfile.TarInfo(f"{name}-{version}/{path}")
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
        self._list(folder)
        return archive

    def _list(self, folder: Path) -> None:
        links = "".join(
            f'<a href="{one.name}#sha256={hashlib.sha256(one.read_bytes()).hexdigest()}">{one.name}</a>\n'
            for one in sorted([*folder.glob("*.whl"), *folder.glob("*.tar.gz")])
        )
        (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>\n{links}</body></html>\n")


@contextmanager
def served(index: Index, login: tuple[str, str] | None = None) -> Iterator[str]:
    """Serve an index on a free port of this machine, behind a login where there is one; yields its address."""

    def respond(asked: Asked) -> Answer:
        if login and asked.headers.get("Authorization") != basic(*login):
            return Answer(401, {"WWW-Authenticate": 'Basic realm="index"'})
        file = index.root / unquote(asked.path).strip("/")
        file = file / "index.html" if file.is_dir() else file
        if not file.is_file():
            return Answer(404)
        kind = "text/html" if file.suffix == ".html" else "application/octet-stream"
        return Answer(200, {"Content-Type": kind}, file.read_bytes())

    with serving(respond) as (host, _):
        yield f"http://{host}"


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
