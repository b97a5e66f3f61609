"""A Python package's sources, with a build backend of their own: nothing is downloaded to build them."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

BUILD = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
# Builds one module, or one package; the project table alone says what it is.
BACKEND = """
import base64, hashlib, os, tarfile, tomllib, zipfile
from pathlib import Path

TIME = (1980, 1, 1, 0, 0, 0)

def project():
    return tomllib.loads(Path("pyproject.toml").read_text())["project"]

def metadata():
    about = project()
    needs = "".join(f"Requires-Dist: {one}\\n" for one in about.get("dependencies", []))
    return f"Metadata-Version: 2.2\\nName: {about['name']}\\nVersion: {about['version']}\\n{needs}"

def modules():
    return sorted(p for p in Path(".").rglob("*.py") if p.name != "backend.py" and "." not in str(p.parent)[1:])

def build_wheel(folder, config_settings=None, metadata_directory=None):
    about = project()
    base = f"{about['name'].replace('-', '_')}-{about['version']}"
    tag = os.environ.get("TEST_WHEEL_TAG", "py3-none-any")
    files = {str(p): p.read_text() for p in modules()}
    files[f"{base}.dist-info/METADATA"] = metadata()
    files[f"{base}.dist-info/WHEEL"] = f"Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: {tag}\\n"
    digest = lambda text: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    record = "".join(f"{p},sha256={digest(t)},{len(t)}\\n" for p, t in files.items())
    files[f"{base}.dist-info/RECORD"] = f"{record}{base}.dist-info/RECORD,,\\n"
    with zipfile.ZipFile(Path(folder, f"{base}-{tag}.whl"), "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, TIME), text)
    return f"{base}-{tag}.whl"

def build_sdist(folder, config_settings=None):
    about = project()
    base = f"{about['name']}-{about['version']}"
    Path("PKG-INFO").write_text(metadata())
    with tarfile.open(Path(folder, f"{base}.tar.gz"), "w:gz") as archive:
        for path in ("pyproject.toml", "backend.py", "PKG-INFO", *map(str, modules())):
            archive.add(path, f"{base}/{path}")
    Path("PKG-INFO").unlink()
    return f"{base}.tar.gz"
"""


def write(folder: Path, name: str, version: str, *, requires: Sequence[str] = (), code: str | None = None) -> Path:
    """The sources of a package with one module; it replaces files that exist."""
    folder.mkdir(parents=True, exist_ok=True)
    needs = "".join(f'  "{one}",\n' for one in requires)
    about = f'[project]\nname = "{name}"\nversion = "{version}"\ndependencies = [\n{needs}]\n'
    (folder / "pyproject.toml").write_text(BUILD + about)
    (folder / "backend.py").write_text(BACKEND)
    (folder / f"{name.replace('-', '_')}.py").write_text(code or f"VERSION = {version!r}\n")
    return folder


class Repository:
    """A bare repository with one package, ``tool``, and a clone that writes it."""

    def __init__(self, root: Path) -> None:
        self.work = root / "work"
        self.bare = root / "tool.git"
        self.work.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self.url = f"git+file://{self.bare}"
        self.commit("1.0")
        self.publish()

    def publish(self) -> None:
        """Make the bare repository."""
        subprocess.run(["git", "clone", "--quiet", "--bare", self.work, self.bare], check=True)

    def git(self, *words: str) -> str:
        """Run git in the clone; returns what it printed."""
        named = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        done = subprocess.run(["git", *named, *words], cwd=self.work, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, version: str) -> str:
        """Commit this version, and push it; returns the commit."""
        write(self.work, "tool", version)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", version)
        if self.bare.exists():
            self.git("push", "--quiet", "--force", str(self.bare), "main")
        return self.git("rev-parse", "HEAD")
