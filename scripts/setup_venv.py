"""Make the project's .venv hold exactly what requirements-dev.txt says; standard library only.

A second call with nothing changed takes a few milliseconds.
"""

import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements-dev.txt"
STAMP = VENV / "podenv-ready"


def state() -> str:
    """What decides whether .venv is as it should be."""
    parts = [sys.version, str(ROOT)]
    parts += [
        hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in ("requirements-dev.txt", "pyproject.toml")
    ]
    return "\n".join(parts)


def ready() -> bool:
    return STAMP.is_file() and STAMP.read_text() == state() and (VENV / "bin/python").exists()


def pinned_uv() -> tuple[str, set[str]]:
    """uv's version in the lock, and the SHA-256 of its files."""
    block = re.search(r"^uv==(\S+) \\\n((?:    --hash=\S+(?: \\)?\n)+)", LOCK.read_text(), re.MULTILINE)
    assert block, "requirements-dev.txt locks uv"
    return block[1], set(re.findall(r"sha256:([0-9a-f]{64})", block[2]))


def uv_by_pip(target: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(target)], check=True, capture_output=True)
    version, hashes = pinned_uv()
    wanted = target / "uv.txt"
    wanted.write_text(f"uv=={version} " + " ".join(f"--hash=sha256:{one}" for one in sorted(hashes)))
    pip = [str(target / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", str(wanted)], check=True, capture_output=True, text=True)


def uv_by_download(target: Path) -> None:
    """For a Python without ensurepip, as Debian's is: the wheel from PyPI, checked against the lock."""
    version, hashes = pinned_uv()
    index = urllib.request.Request(
        "https://pypi.org/simple/uv/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    with urllib.request.urlopen(index, timeout=60) as answer:
        files = json.load(answer)["files"]
    system = "macosx" if sys.platform == "darwin" else "manylinux"
    name = re.compile(rf"uv-{re.escape(version)}-py3-none-{system}\S*_{os.uname().machine}\S*\.whl")
    url = next(one["url"] for one in files if name.fullmatch(one["filename"]))
    with urllib.request.urlopen(url, timeout=300) as answer:
        wheel = answer.read()
    if hashlib.sha256(wheel).hexdigest() not in hashes:
        raise ValueError("the wheel of uv is not the one that requirements-dev.txt locks")
    (target / "bin").mkdir(parents=True)
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        member = next(name for name in archive.namelist() if name.endswith(".data/scripts/uv"))
        (target / "bin/uv").write_bytes(archive.read(member))
    (target / "bin/uv").chmod(0o755)


def make() -> None:
    bootstrap = ROOT / ".venv.bootstrap"
    shutil.rmtree(bootstrap, ignore_errors=True)
    try:
        try:
            uv_by_pip(bootstrap)
        except subprocess.CalledProcessError:
            shutil.rmtree(bootstrap, ignore_errors=True)
            uv_by_download(bootstrap)
        uv = str(bootstrap / "bin/uv")
        # One of another Python, or half made, is made anew; else only what the lock has changed is touched.
        whole = STAMP.is_file() and (VENV / "bin/python").exists()
        anew = not whole or STAMP.read_text().splitlines()[:-2] != state().splitlines()[:-2]
        STAMP.unlink(missing_ok=True)  # until this is done; a run that finds no stamp makes all anew
        into = ["--quiet", "--python", str(VENV / "bin/python")]
        create = ["venv", "--quiet", "--clear", "--python", sys.executable, str(VENV)]
        for words in (
            *([create] if anew else []),
            # Without bytecode every import of Airflow takes three times as long.
            ["pip", "sync", *into, "--compile-bytecode", "--require-hashes", str(LOCK)],
            ["pip", "install", *into, "--no-deps", "--editable", str(ROOT)],
        ):
            subprocess.run([uv, *words], check=True, cwd=ROOT)
        beside = STAMP.with_suffix(".new")
        beside.write_text(state())
        beside.rename(STAMP)
    finally:
        shutil.rmtree(bootstrap, ignore_errors=True)


def main() -> int:
    if ready():
        return 0
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two scripts at once: the second waits, then finds it ready
        if ready():
            return 0
        began = time.monotonic()
        print("Making .venv from requirements-dev.txt (about 1.6 GB on disk, once) ...", flush=True)
        try:
            make()
        except (subprocess.CalledProcessError, OSError, ValueError, StopIteration) as error:
            said = getattr(error, "stderr", None) or error
            print(f"error: .venv cannot be made: {str(said).strip()}", file=sys.stderr)
            print("A Python 3.11 or newer, PyPI within reach and 2 GB of disk are needed.", file=sys.stderr)
            return 1
        print(f"Made .venv in {time.monotonic() - began:.0f} s.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
