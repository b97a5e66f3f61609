"""`podenv deploy` of 20 environments beside a shell loop of `helm upgrade --install`."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

import yaml

from benchmarks.report import Comparison, alternate, show
from podenv.catalogue import reference
from podenv.errors import ImageMissing
from podenv.image.registry import Registries
from podenv.release import chart
from podenv.release.cluster import Cluster
from podenv.release.helm import find

ENVIRONMENTS = 20
IMAGE = "podenv/base:py3.11"
LOOP = """
for name in {names}; do
  {helm} upgrade --install "$name" {chart} --namespace {prefix}"$name" --create-namespace \
    --values {envs}/defaults.yaml --values {envs}/"$name"/values.yaml >/dev/null || exit 1
done
"""


def main() -> bool:
    """True if every ratio is what the project claims."""
    names = [f"bench-{number:02}" for number in range(ENVIRONMENTS)]
    ours, peer = (f"podenv-{kind}-{uuid.uuid4().hex[:6]}-" for kind in ("bench", "loop"))
    with tempfile.TemporaryDirectory() as folder:
        envs = Path(folder, "envs")
        loop = LOOP.format(names=" ".join(names), helm=find(), chart=chart.folder(), prefix=peer, envs=envs)
        rounds = itertools.count()
        try:
            return show("deploy", _compare(envs, names, lambda: _deploy(envs, ours), lambda: _shell(loop), rounds))
        finally:
            _sweep(ours, peer)


def _compare(
    envs: Path,
    names: list[str],
    ours: Callable[[], object],
    peer: Callable[[], object],
    rounds: itertools.count[int],
) -> list[Comparison]:
    image = _image()
    _write(envs, names, image, round_=next(rounds))
    same = alternate(ours, peer, rounds=3)

    def changed(run: Callable[[], object]) -> Callable[[], object]:
        def run_changed() -> None:
            _write(envs, names, image, round_=next(rounds))
            run()

        return run_changed

    other = alternate(changed(ours), changed(peer), rounds=3)
    loop = "a loop of helm upgrade --install"
    return [
        Comparison(f"deploy of {len(names)} environments, nothing changed", loop, *same, promised=0.15),
        Comparison(f"deploy of {len(names)} environments, all changed", loop, *other, promised=0.55),
    ]


def _image() -> dict[str, object]:
    registry = os.environ.get("PODENV_REGISTRY", "127.0.0.1:5000")
    ref = reference.parse(f"{registry}/{IMAGE}", setting="the benchmark's image")
    digest = Registries().digest(ref)
    if digest is None:
        raise ImageMissing(f"{ref} is not in the registry; run `scripts/dev-cluster up`.")
    return {"registry": ref.registry, "repository": ref.repository, "digest": digest, "external": True}


def _write(envs: Path, names: list[str], image: dict[str, object], *, round_: int) -> None:
    """The values files; another round changes all of them."""
    for name in names:
        (envs / name).mkdir(parents=True, exist_ok=True)
        values = {"python": "3.11", "env": {"ROUND": str(round_)}}
        (envs / name / "values.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    (envs / "defaults.yaml").write_text(yaml.safe_dump({"image": image}), encoding="utf-8")


def _deploy(envs: Path, prefix: str) -> None:
    command = ["--catalogue", str(envs), "deploy", "--namespace-prefix", prefix]
    program = [sys.executable, "-c", "from podenv.cli import main; main()"]
    subprocess.run([*program, *command], check=True, capture_output=True)


def _shell(loop: str) -> None:
    subprocess.run(["bash", "-c", loop], check=True, capture_output=True)


def _sweep(*prefixes: str) -> None:
    cluster = Cluster()
    for item in cluster.list("v1", "Namespace"):
        if item["metadata"]["name"].startswith(prefixes):
            cluster.delete(f"/api/v1/namespaces/{item['metadata']['name']}")
