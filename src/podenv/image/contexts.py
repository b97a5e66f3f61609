"""The folders that a build reads: what it copies, and what only it may see."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from podenv import image, lock
from podenv.catalogue.environment import Environment
from podenv.errors import SettingError
from podenv.image import archives
from podenv.lock import packages, wheels
from podenv.lock.indexes import IndexConfig

Say = Callable[[str], None]


def lay_out(environment: Environment, context: Path, labels: Mapping[str, str], *, platform: str, say: Say) -> Path:
    """Fill the folder that the build copies from; returns its Containerfile."""
    context.mkdir()
    own = environment.spec.image.containerfile
    if own:
        for name, file in image.context_files(environment):
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, context / name)
    else:
        install = context / "install"
        install.mkdir()
        in_git = lock.in_git(environment, markers=lock.on(environment.python, platform))
        archives.lay_out(environment, in_git, install / "git", say)
        (install / "requirements.txt").write_bytes(lock.without_git(environment))
        (context / "Containerfile").write_bytes(image.containerfile(environment))
    for package in packages.of(environment):
        wheel = wheels.build(environment, package, log=say)
        (context / "packages" / wheel.parent.name).mkdir(parents=True)
        shutil.copyfile(wheel, context / "packages" / wheel.parent.name / wheel.name)
    containerfile = context / (own or "Containerfile")
    # Last, and not as options: buildah and podman write labels of options into layers that other images then reuse.
    with containerfile.open("a") as opened:
        opened.writelines(f"\nLABEL {key}={json.dumps(value)}" for key, value in labels.items())
    return containerfile


def secrets(folder: Path, index: IndexConfig) -> dict[str, Path]:
    """Files for the build alone: what uv has to know of indexes, and the certificates that SSL_CERT_FILE names."""
    folder.mkdir(mode=0o700)
    files = {name: folder / name for name in ("uv", "pins", "ca")}
    files["uv"].write_text(index.toml)
    files["pins"].write_text(index.pins)
    bundle = os.environ.get("SSL_CERT_FILE")
    try:
        files["ca"].write_bytes(Path(bundle).read_bytes() if bundle else b"")
    except OSError as error:
        raise SettingError(f"SSL_CERT_FILE names {bundle}, which cannot be read: {error.strerror}.") from None
    return files
