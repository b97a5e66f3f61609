"""Wheels of the project's own packages: built once for the same sources, from a copy that holds nothing else."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from podenv import process
from podenv.catalogue.environment import Environment
from podenv.errors import PackageUnusable, ProgramFailed
from podenv.lock import cache, indexes, packages, program
from podenv.lock.packages import OwnPackage

EPOCH = "315532800"  # 1980-01-01, seconds: zip files know no time before it
_TIMEOUT = 1800.0  # seconds
_TAIL = 600  # characters of what a build says that an error keeps
_HINT = re.compile(r"^hint: .*", re.MULTILINE | re.DOTALL)  # the last of what uv says; it is about uv's own commands
_NOISE = re.compile(r"^(Building |Successfully built|\[std(out|err)\]$|Traceback )")


def build(environment: Environment, package: OwnPackage, *, log: Callable[[str], None] = lambda _: None) -> Path:
    """The wheel of ``package``, in a folder that is named after the hash of its sources.

    The same sources give the same bytes where the package's build backend does. Raises `PackageUnusable`,
    `ProgramNotFound`.
    """
    kept = cache.wheels() / package.name / packages.sources_hash(environment, package)
    if not (found := list(kept.glob("*.whl"))):
        log(f"Building {package.name} from {package.folder}.")
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="building-", dir=kept.parent) as scratch:
            made = _build(environment, package, Path(scratch))
            try:
                made.rename(kept)
            except OSError:  # another process has built the same
                if not kept.is_dir():
                    raise
        found = list(kept.glob("*.whl"))
    cache.mark_used(kept)
    return found[0]


def version(wheel: Path) -> str:
    """The version that a wheel is of."""
    return str(parse_wheel_filename(wheel.name)[1])


def _build(environment: Environment, package: OwnPackage, scratch: Path) -> Path:
    tree, made = scratch / "tree", scratch / "made"
    for name, file in packages.files(environment, package):
        copy = tree / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
        copy.chmod(0o755 if file.stat().st_mode & 0o111 else 0o644)
    (scratch / "uv.toml").write_text(indexes.project(environment))
    argv: list[str | Path] = [
        program.uv(), "build", "--wheel", "--project", scratch, "--python", _python(environment, package),
        "--out-dir", made, "--color=never", tree,
    ]  # fmt: skip
    environ = {**program.uv_variables(), "SOURCE_DATE_EPOCH": EPOCH, "PYTHONHASHSEED": "0"}
    try:
        process.run(argv, cwd=scratch, env=environ, timeout=_TIMEOUT)
    except ProgramFailed as error:
        raise PackageUnusable(
            f"{package.folder} cannot be built into a wheel: {_telling(error.stderr, tree)}"
        ) from None
    wheels = list(made.glob("*.whl"))
    _check(package, wheels)
    for other in made.iterdir():
        if other not in wheels:
            other.unlink()
    return made


def _python(environment: Environment, package: OwnPackage) -> str:
    """podenv's own Python where the package can be built with it, else the environment's."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    return sys.executable if SpecifierSet(package.requires_python).contains(here) else environment.python


def _check(package: OwnPackage, wheels: list[Path]) -> None:
    if len(wheels) != 1:
        raise PackageUnusable(f"{package.folder} was built into {len(wheels)} wheels, not into one.")
    try:
        name, _, _, tags = parse_wheel_filename(wheels[0].name)
    except InvalidWheelFilename as error:
        raise PackageUnusable(f"{package.folder} was built into a wheel with a wrong name: {error}.") from None
    if canonicalize_name(name) != package.name:
        raise PackageUnusable(
            f"{package.folder} was built into {wheels[0].name}, and its pyproject.toml calls it {package.name}."
        )
    if any(tag.platform != "any" or tag.abi != "none" for tag in tags):
        raise PackageUnusable(
            f"{package.folder} was built into {wheels[0].name}, which fits this kind of machine alone; `packages` "
            "takes pure Python. Publish its wheels in an index, or name its repository in requirements.in as "
            "`NAME @ git+https://…`."
        )


def _telling(said: str, tree: Path) -> str:
    """What a build's last words say, in one line; the copy's folder is nobody's."""
    said = _HINT.sub("", said).replace(f"{tree}/", "").replace(f" `{tree}`", "")
    lines = [line.strip() for line in said.splitlines()]
    telling = [line for line in lines if line and not _NOISE.match(line)]
    return " ".join(" ".join(telling).split())[-_TAIL:].rstrip(".") + "."
