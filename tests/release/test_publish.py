"""The chart as an OCI artefact: pushed by helm, refused where another one of its version is."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

import pytest
import urllib3
from tests.chart.helm import CHART, SUPPORTED, fetch
from tests.registryserver import Answer, serving

from podenv import process
from podenv.catalogue import values
from podenv.errors import Conflict, ProgramFailed, RegistryLoginNeeded, RegistryRefused, RegistryUnreachable
from podenv.release import publish

VERSION = str(values.read(CHART / "Chart.yaml")["version"])


@pytest.fixture
def helm(monkeypatch: pytest.MonkeyPatch) -> Path:
    program = fetch(SUPPORTED[0])
    monkeypatch.setenv("PODENV_HELM", str(program))
    return program


@pytest.mark.cluster
@pytest.mark.usefixtures("_cluster")
def test_a_chart_is_pushed_once_installs_from_there_and_another_of_its_version_is_a_conflict(
    helm: Path, tmp_path: Path
) -> None:
    registry = f"{os.environ['PODENV_REGISTRY']}/charts-{uuid.uuid4().hex[:8]}"
    address = f"oci://{registry}/airflow-env"
    page = "https://git.example.com/data/pipelines"
    assert publish.push(registry, source=page, plain_http=True) == publish.Published(address, VERSION, "pushed")
    host, _, path = registry.partition("/")
    answer = urllib3.request(
        "GET",
        f"http://{host}/v2/{path}/airflow-env/manifests/{VERSION}",
        headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
    )
    labels = answer.json()["annotations"]
    assert [labels[f"org.opencontainers.image.{word}"] for word in ("source", "url")] == [page, page]
    assert publish.push(registry, plain_http=True).state == "there"
    image = "image.registry=r.example,image.repository=etl,image.digest=sha256:" + "0" * 64
    words = [address, "--version", VERSION, "--plain-http", "--set-string", "python=3.13", "--set", image]
    assert "kind: PodTemplate" in process.run([helm, "template", "etl", *words]).stdout
    other = tmp_path / "airflow-env"
    shutil.copytree(CHART, other)
    (other / "templates" / "podtemplate.yaml").write_text("# emptied\n")
    with pytest.raises(Conflict, match=rf"^{address} has another chart of version {VERSION}, .* or replace it with --"):
        publish.push(registry, folder=other, plain_http=True)
    assert publish.push(registry, folder=other, plain_http=True, overwrite=True).state == "pushed"


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (Answer(401), RegistryLoginNeeded, r"wants a login for .*/team.*Run `helm registry login 127\.0\.0\.1:\d+`\.$"),
        (Answer(403), RegistryLoginNeeded, r"wants a login"),
        (Answer(400), RegistryRefused, r"does not take the chart: "),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_registry_that_refuses_says_why(
    helm: Path, answer: Answer, error: type[Exception], words: str, overwrite: bool
) -> None:
    with serving(lambda asked: answer) as (host, _), pytest.raises(error, match=words):
        publish.push(f"{host}/team", plain_http=True, overwrite=overwrite)


def test_a_digest_is_no_status() -> None:
    said = 'Error: HEAD "http://r.example/v2/t/manifests/sha256:bf840384": response status code 400: Bad Request'
    assert isinstance(publish._failure("r.example/t", ProgramFailed("helm", 1, said)), RegistryRefused)


def test_a_registry_that_is_not_there_is_named(helm: Path) -> None:
    with pytest.raises(RegistryUnreachable, match=r"^The registry 127\.0\.0\.1:1 cannot be asked for the chart: "):
        publish.push("127.0.0.1:1/team", plain_http=True)


def test_a_registry_without_tls_is_told_apart(helm: Path) -> None:
    with (
        serving(lambda asked: Answer(200)) as (host, _),
        pytest.raises(RegistryUnreachable, match="Where it has no TLS, add it to PODENV_PLAIN_HTTP"),
    ):
        publish.push(f"{host}/team")
