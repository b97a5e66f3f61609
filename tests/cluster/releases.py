"""A small catalogue, namespaces of its own, and what the tests of releases ask of a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from podenv.catalogue.environment import Catalogue
from podenv.catalogue.reference import ImageRef
from podenv.catalogue.values import dump
from podenv.cli.app import app
from podenv.release import DeployResult, Releases, Target
from podenv.release.cluster import Cluster
from podenv.release.records import Record

ABSENT_DIGEST = f"sha256:{'0' * 64}"
SMALL = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}}


class Stage:
    """Environments that a test makes up, deployed into namespaces that begin with ``prefix``."""

    def __init__(self, root: Path, prefix: str, ref: ImageRef) -> None:
        self.root = root / "envs"
        self.root.mkdir()
        (self.root / "defaults.yaml").write_text(yaml.safe_dump({"resources": SMALL}))
        self.prefix = prefix
        self.ref = ref
        self.catalogue = Catalogue(self.root)
        self.releases = Releases(Target(prefix=prefix))

    @property
    def cluster(self) -> Cluster:
        return self.releases.cluster

    def write(self, name: str, **values: Any) -> str:
        """Write an environment's values; its image is one that was built before."""
        image = {
            "registry": self.ref.registry, "repository": self.ref.repository, "digest": self.ref.digest,
            "external": True,
        }  # fmt: skip
        (self.root / name).mkdir(exist_ok=True)
        file = self.root / name / "values.yaml"
        file.write_text(dump({"python": "3.11", "image": image, **values}))
        return name

    def deploy(
        self,
        name: str,
        releases: Releases | None = None,
        *,
        repair: bool = False,
        timeout: float = 120,
        wait: float = 60,
    ) -> DeployResult:
        target = releases or self.releases
        environment = self.catalogue[name]
        known = target.survey(target.places([environment]))[name]
        return target.deploy(target.spec_of(environment), known, repair=repair, timeout=timeout, wait=wait)

    def rollback(self, name: str, revision: int | None = None, *, timeout: float = 120) -> Record:
        plan = self.releases.rollback_plan(name, self.namespace(name), revision)
        return self.releases.rollback(plan, timeout=timeout)

    def namespace(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def path(self, kind: str, name: str, *, of: str, api: str = "v1") -> str:
        return self.cluster.path(api, kind, self.namespace(of), name)

    def pod_template(self, name: str) -> dict[str, Any]:
        found = self.cluster.get(self.path("PodTemplate", name, of=name))
        assert found is not None
        return found

    def drift(self, name: str) -> list[str]:
        places = self.releases.places([self.catalogue[name]])
        return [str(one) for one in self.releases.survey(places)[name].drift]

    def revisions(self, name: str) -> list[tuple[int, str]]:
        return [(one.revision, one.status) for one in self.releases.history(name, self.namespace(name))]

    def environ(self) -> dict[str, str]:
        return {"PODENV_CATALOGUE": str(self.root), "PODENV_NAMESPACE_PREFIX": self.prefix}

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a command, in this process."""
        result = CliRunner().invoke(app, list(arguments), env=self.environ())
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The same in a process of its own, to be interrupted."""
        return subprocess.Popen(
            [sys.executable, "-c", "from podenv.cli import main; main()", *arguments],
            env={**os.environ, **self.environ()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@contextmanager
def swept(cluster: Cluster, prefix: str) -> Iterator[None]:
    """Namespaces that begin with ``prefix`` are removed afterwards."""
    try:
        yield
    finally:
        for item in cluster.list("v1", "Namespace"):
            if item["metadata"]["name"].startswith(prefix):
                cluster.delete(f"/api/v1/namespaces/{item['metadata']['name']}")
