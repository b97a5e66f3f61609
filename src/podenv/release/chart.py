"""The chart, as its folder holds it and as Helm's record of a release does: both in one form, to be compared."""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path
from typing import Any

from podenv.catalogue import values

Json = dict[str, Any]
NAME = "airflow-env"
_METADATA, _VALUES, _SCHEMA = "Chart.yaml", "values.yaml", "values.schema.json"
_LEFTOVERS = ("~", ".orig", ".swp")  # of editors
# For Prometheus and Grafana, for `helm lint`, for people: no object follows from it. Releases hold only the README.
_BESIDE = ("monitoring/", "ci/", "README.md")


def folder() -> Path:
    """The chart of this podenv: beside this file where podenv was installed, else in the checkout."""
    inside = Path(__file__).parent / "chart"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "charts" / NAME


def content(chart: Path) -> Json:
    """The content of a chart in a folder. A folder that has not changed is read once per process."""
    files = sorted(file for file in chart.rglob("*") if file.is_file() and _counts(file.relative_to(chart).as_posix()))
    return _read(chart, tuple((file, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=16)
def _read(chart: Path, files: tuple[tuple[Path, int], ...]) -> Json:
    encoded = {
        file.relative_to(chart).as_posix(): base64.b64encode(file.read_bytes()).decode()
        for file, _ in files
        if file not in (chart / _METADATA, chart / _VALUES)
    }
    schema = encoded.pop(_SCHEMA, "")
    return _content(values.read(chart / _METADATA), values.read(chart / _VALUES), schema, encoded)


def recorded(chart: Json) -> Json:
    """The content of a chart in Helm's record of a release (seen with Helm 3.17.2, 4.1.4 and 4.3.1)."""
    files = {
        file["name"]: file["data"]
        for kind in ("templates", "files")
        for file in chart.get(kind) or ()
        if _counts(file["name"])
    }
    return _content(chart.get("metadata") or {}, chart.get("values") or {}, chart.get("schema") or "", files)


def _content(metadata: Json, defaults: Json, schema: str, files: dict[str, str]) -> Json:
    named = {key: metadata.get(key) for key in ("name", "version", "appVersion")}
    return {"metadata": named, "values": defaults, "schema": schema, "files": files}


def _counts(name: str) -> bool:
    """True if a file is part of the chart: neither hidden, nor left over by an editor, nor beside what is rendered."""
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not hidden and not name.endswith(_LEFTOVERS) and not name.startswith(_BESIDE)
