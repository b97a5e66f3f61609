"""The chart as an OCI artefact in a registry, for those who install it with helm or a GitOps tool."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podenv import process
from podenv.catalogue import values
from podenv.errors import Conflict, ProgramFailed, RegistryLoginNeeded, RegistryRefused, RegistryUnreachable
from podenv.release import chart, helm

_SECONDS = 120.0
_LOGIN = re.compile(r"status code:? 40[13]\b|unauthorized|denied|forbidden", re.IGNORECASE)  # a digest may have a 403
_AWAY = ("connection refused", "no such host", "timeout", "HTTPS client", "tls: ", "x509")


@dataclass(frozen=True)
class Published:
    """A chart in a registry; ``state`` is ``pushed``, or ``there`` if the same one was there before."""

    address: str
    version: str
    state: str


def push(
    registry: str,
    *,
    folder: Path | None = None,
    source: str = "",
    plain_http: bool = False,
    overwrite: bool = False,
) -> Published:
    """Package the chart and push it below ``registry``, like ``ghcr.io/acme``.

    ``source`` is the address that it names as its home and source, where Chart.yaml names none.
    Raises `Conflict` if another chart of that version is there, unless it may be overwritten; `ProgramNotFound`,
    `RegistryError`.
    """
    folder = folder or chart.folder()
    metadata = values.read(folder / "Chart.yaml")
    address, version = f"oci://{registry}/{metadata['name']}", str(metadata["version"])
    program, plain = helm.find(), ["--plain-http"] if plain_http else []
    with tempfile.TemporaryDirectory(prefix="podenv-chart-") as name:
        work = Path(name)
        if not overwrite and _pull(program, address, version, plain, work):
            if chart.content(work / metadata["name"]) == chart.content(folder):
                return Published(address, version, "there")
            raise Conflict(
                f"{address} has another chart of version {version}, which somebody may have installed; push to another "
                "address, or replace it with --overwrite."
            )
        named = _with_source(folder, metadata, source, work / "named" / folder.name)
        process.run([program, "package", named, "--destination", work], timeout=_SECONDS)
        try:
            process.run(
                [program, "push", work / f"{metadata['name']}-{version}.tgz", f"oci://{registry}", *plain],
                timeout=_SECONDS,
            )
        except ProgramFailed as error:
            raise _failure(registry, error) from None
    return Published(address, version, "pushed")


def _with_source(folder: Path, metadata: dict[str, Any], source: str, into: Path) -> Path:
    """A copy of the chart that names ``source``; helm makes the labels of the OCI artefact from it."""
    missing = {key: value for key, value in (("home", source), ("sources", [source])) if not metadata.get(key)}
    if not source or not missing:
        return folder
    shutil.copytree(folder, into)
    (into / "Chart.yaml").write_text(values.dump({**metadata, **missing}), encoding="utf-8")
    return into


def _pull(program: Path, address: str, version: str, plain: list[str], into: Path) -> bool:
    """Lay out the chart that the registry has; False if it has none of that version."""
    try:
        process.run(
            [program, "pull", address, "--version", version, "--untar", "--untardir", into, *plain], timeout=_SECONDS
        )
    except ProgramFailed as error:
        if error.stderr.strip().endswith("not found"):
            return False
        raise _failure(address.removeprefix("oci://"), error) from None
    return True


def _failure(where: str, error: ProgramFailed) -> RegistryUnreachable | RegistryLoginNeeded | RegistryRefused:
    said = error.stderr.strip().removeprefix("Error: ").splitlines()[0] if error.stderr.strip() else "helm said nothing"
    host = where.partition("/")[0]
    if any(word in said for word in _AWAY):
        return RegistryUnreachable(
            f"The registry {host} cannot be asked for the chart: {said}. Is its name right? Where it has no TLS, add "
            "it to PODENV_PLAIN_HTTP."
        )
    if _LOGIN.search(said):
        return RegistryLoginNeeded(f"{host} wants a login for {where}: {said}. Run `helm registry login {host}`.")
    return RegistryRefused(f"{host} does not take the chart: {said}.")
