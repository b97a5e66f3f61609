import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.image.conftest import Record
from tests.registryserver import Answer, serving

from podenv.catalogue.environment import Catalogue, Environment
from podenv.catalogue.reference import ImageRef
from podenv.errors import (
    BuilderNotFound,
    BuildFailed,
    ImageMissing,
    ProgramFailed,
    RegistryRefused,
    RegistryUnreachable,
    SettingError,
)
from podenv.image import builder
from podenv.image.build import Images, Options
from podenv.image.builder import Buildah, Docker, Job, Podman

BASE = ImageRef("127.0.0.1:5000", "podenv/base", digest="sha256:" + "12" * 32)
UV = ImageRef("uv.example", "uv", digest="sha256:" + "34" * 32)
TARGET = ImageRef("127.0.0.1:5000", "podenv-etl", tag="py3.13-0123456789abcdef")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    context = tmp_path / "build" / "context"
    context.mkdir(parents=True)
    return Job(
        environment="etl",
        target=TARGET,
        context=context,
        containerfile=context / "Containerfile",
        base=BASE,
        uv=UV,
        platform="linux/amd64",
        args={"PYTHON": "3.13", "SYSTEM_PACKAGES": "a b"},
        secrets={"uv": tmp_path / "uv"},
    )


def common(job: Job, tmp_path: Path) -> list[str]:
    return [
        "--file", f"{job.context}/Containerfile", "--platform", "linux/amd64",
        "--build-arg", f"BASE={BASE}", "--build-arg", f"UV={UV}",
        "--build-arg", "PYTHON=3.13", "--build-arg", "SYSTEM_PACKAGES=a b",
        "--secret", f"id=uv,src={tmp_path}/uv",
    ]  # fmt: skip


def nothing(line: str) -> None:
    pass


def test_docker_is_called_with(record: Record, job: Job, tmp_path: Path) -> None:
    recorded = record("docker")
    docker = Docker()
    docker.check()
    docker.build(job, nothing)
    docker.push(TARGET, nothing)
    assert docker.has(TARGET)
    docker.run(TARGET, ["python", "-I", "-"], input=b"")
    assert recorded.calls() == [
        ["docker", "buildx", "version"],
        ["docker", "version", "--format", "{{.Server.Version}}"],
        [
            "docker", "buildx", "build", "--tag", str(TARGET), "--load", "--progress", "plain", "--provenance", "false",
            "--build-arg", "SOURCE_DATE_EPOCH=315532800", *common(job, tmp_path), str(job.context),
        ],
        ["docker", "image", "push", str(TARGET)],
        ["docker", "image", "inspect", "--format", "{{.Id}}", str(TARGET)],
        [
            "docker", "run", "--rm", "--interactive", "--network", "none", "--read-only", "--entrypoint", "python",
            str(TARGET), "-I", "-",
        ],
    ]  # fmt: skip


def test_podman_is_called_with(record: Record, job: Job, tmp_path: Path) -> None:
    recorded = record("podman")
    podman = Podman(plain_http=["uv.example"])
    podman.check()
    podman.build(job, nothing)
    podman.push(TARGET, nothing)
    assert podman.has(TARGET)
    podman.run(TARGET, ["python", "-I", "-"], input=b"")
    assert recorded.calls() == [
        ["podman", "info", "--format", "{{.Version.Version}}"],
        ["podman", "pull", "--tls-verify=false", "--platform", "linux/amd64", str(BASE)],
        ["podman", "pull", "--tls-verify=false", "--platform", "linux/amd64", str(UV)],
        [
            "podman", "build", "--tag", str(TARGET), "--pull=never", "--layers", "--force-rm", "--network", "host",
            "--timestamp", "315532800", *common(job, tmp_path), str(job.context),
        ],
        ["podman", "push", "--tls-verify=false", str(TARGET)],
        ["podman", "image", "exists", str(TARGET)],
        [
            "podman", "run", "--tls-verify=false", "--rm", "--interactive", "--network", "none", "--read-only",
            "--entrypoint", "python", str(TARGET), "-I", "-",
        ],
    ]  # fmt: skip


def test_buildah_and_podman_push_layers_compressed_by_zstd_where_the_values_say_so(record: Record) -> None:
    recorded = record("buildah", "podman")
    for one in (Buildah(), Podman()):
        one.push(TARGET, nothing, compression="zstd")
    words = ["push", "--tls-verify=false", "--format", "oci", "--compression-format", "zstd", str(TARGET)]
    assert recorded.calls() == [["buildah", *words], ["podman", *words]]


def test_docker_which_cannot_is_refused_before_a_build(
    tmp_path: Path, project: Environment, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    recorded = record("docker")
    subject = environment(tmp_path, "image: {compression: zstd}\n")
    with serving(lambda asked: Answer(404)) as (host, _):
        monkeypatch.setenv("PODENV_REGISTRY", host)
        with pytest.raises(SettingError) as caught:
            Images(Options(push=True)).build(subject)
    assert str(caught.value) == (
        "image.compression of 'etl' is zstd, and docker pushes gzip only; "
        "build with buildah or podman (PODENV_BUILDER)."
    )
    assert not [call for call in recorded.calls() if "build" in call]


def test_tls_is_checked_where_nobody_said_otherwise(record: Record, job: Job) -> None:
    recorded = record("podman")
    Podman().build(job, nothing)
    assert recorded.calls()[1] == ["podman", "pull", "--platform", "linux/amd64", str(UV)]


def test_a_build_from_scratch_takes_no_layer_of_an_earlier_one(record: Record, job: Job) -> None:
    recorded = record("podman")
    Podman().build(Job(**{**vars(job), "from_scratch": True}), nothing)
    assert "--no-cache" in recorded.calls()[-1]


@pytest.mark.parametrize("fills", [False, True])
def test_layers_come_from_a_registry_and_go_there_where_images_are_pushed(
    record: Record, job: Job, fills: bool
) -> None:
    job = replace(job, cache="127.0.0.1:5000/layers", fills_cache=fills)
    recorded = record("docker")
    Docker().build(job, nothing)
    (docker,) = (" ".join(call) for call in recorded.calls())
    place = "type=registry,ref=127.0.0.1:5000/layers:etl"
    assert f" --cache-from {place} " in docker
    assert (f" --cache-to {place},mode=max,ignore-error=true " in docker) is fills


def test_a_builder_that_fills_no_cache_builds_all_the_same(record: Record, job: Job) -> None:
    recorded = record("docker")
    refused = "ERROR: Cache export is not supported for the docker driver.\nSwitch to a different driver, …"
    recorded.rules({"words": ["buildx", "build"], "code": 1, "says": refused, "once": True})
    said: list[str] = []
    Docker().build(replace(job, cache="127.0.0.1:5000/layers", fills_cache=True), said.append)
    first, second = recorded.calls()
    to = first.index("--cache-to")
    assert second == first[:to] + first[to + 2 :]
    assert (
        "its layers are not kept in 127.0.0.1:5000/layers: the chosen builder of docker buildx keeps none elsewhere"
    ) in said


def test_buildah_takes_the_isolation_that_works_here(record: Record, job: Job) -> None:
    recorded = record("buildah")
    recorded.rules({"words": ["run", "--isolation", "oci"], "code": 1, "says": "no runtime"})
    lines: list[str] = []
    Buildah().build(job, lines.append)
    called = [call[1] for call in recorded.calls()]
    assert called == ["pull", "pull", "pull", "from", "run", "run", "rm", "build", "build"]
    built = recorded.calls()[-2]
    assert "--isolation chroot" in " ".join(built)
    assert "buildah --isolation oci does not work here: no runtime" in lines


def test_no_builder_says_of_each_why(record: Record) -> None:
    recorded = record("docker", "podman")
    recorded.rules(
        {"words": ["buildx"], "code": 1, "says": "docker: unknown command: docker buildx\n\nRun 'docker --help'"},
        {"words": ["info"], "code": 125, "says": "Error: no storage."},
    )
    with pytest.raises(BuilderNotFound) as caught:
        builder.find()
    assert str(caught.value).startswith(
        "No builder of images works here: docker is there but fails: docker: unknown command: docker buildx; "
        "buildah is not on PATH; podman is there but fails: Error: no storage. Install buildah"
    )
    with pytest.raises(BuilderNotFound, match=r"^The chosen builder does not work here: buildah is not on PATH\."):
        builder.find("buildah")


def test_the_first_builder_that_works_is_taken_unless_one_is_chosen(record: Record) -> None:
    recorded = record("docker", "buildah", "podman")
    assert builder.find().name == "docker"
    recorded.rules({"words": ["buildx"], "code": 1})
    assert builder.find().name == "buildah"
    assert builder.find("podman").name == "podman"


def environment(root: Path, values: str = "") -> Environment:
    folder = root / "envs" / "etl"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "values.yaml").write_text(f'python: "3.13"\n{values}')
    return Catalogue(root / "envs")["etl"]


@pytest.mark.parametrize("kind", [Buildah, Podman])
def test_a_base_that_another_build_took_out_of_the_store_is_pulled_again(
    record: Record, job: Job, kind: type[Buildah | Podman]
) -> None:
    gone = {"words": ["build"], "code": 125, "says": f"Error: creating build container: {BASE}: image not known"}
    recorded = record(kind.name)
    recorded.rules({**gone, "once": True})
    kind().build(job, nothing)
    called = [call[1] for call in recorded.calls()]
    assert called.count("build") == {"buildah": 3, "podman": 2}[kind.name]
    assert called[called.index("build") :][1:3] == ["pull", "pull"]
    recorded.rules(gone)
    with pytest.raises(ProgramFailed, match="image not known"):
        kind().build(job, nothing)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment whose lock is taken to be fresh; nothing is resolved here."""
    for name in ("PODENV_REGISTRY", "PODENV_BASE_IMAGE", "PODENV_UV_IMAGE", "PODENV_BUILDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("podenv.lock.check", lambda environment: None)
    subject = environment(tmp_path)
    subject.lock_file.write_text("# a lock\n")
    return subject


def test_what_the_registry_has_is_not_built_and_needs_no_builder(
    project: Environment, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    record()
    digest = "sha256:" + "ab" * 32
    with serving(lambda asked: Answer(200, {"Docker-Content-Digest": digest})) as (host, requests):
        monkeypatch.setenv("PODENV_REGISTRY", host)
        built = Images(Options(push=True)).build(project)
        assert (built.state, built.digest, built.log) == ("there", digest, None)
        assert Images().digest(project) == digest
        assert [one.path for one in requests] == [f"/v2/podenv-etl/manifests/{built.ref.tag}"] * 2
        with pytest.raises(BuilderNotFound):
            Images(Options(rebuild=True)).build(project)


def test_where_it_cannot_be_told_nothing_is_built(
    project: Environment, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    recorded = record("docker")
    with serving(lambda asked: Answer(500)) as (host, _):
        monkeypatch.setenv("PODENV_REGISTRY", host)
        with pytest.raises(RegistryRefused):
            Images().build(project)
    with pytest.raises(RegistryUnreachable):
        Images().build(project)
    assert recorded.calls() == []


def test_what_is_not_there_is_built_pushed_and_asked_for_again(
    project: Environment, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    recorded = record("docker")
    recorded.rules({"words": ["image", "inspect"], "code": 1})
    seen: list[str] = []
    digest = {"Docker-Content-Digest": "sha256:" + "cd" * 32}

    def respond(asked: Any) -> Answer:
        seen.append(asked.path)
        new = "podenv-etl" in asked.path and not any("push" in call for call in recorded.calls())
        return Answer(404) if new else Answer(200, digest)

    with serving(respond) as (host, _):
        monkeypatch.setenv("PODENV_REGISTRY", host)
        monkeypatch.setenv("PODENV_BASE_IMAGE", f"{host}/base:py{{python}}")
        monkeypatch.setenv("PODENV_UV_IMAGE", f"{host}/uv:1")
        built = Images(Options(push=True)).build(project)
    assert (built.state, built.digest) == ("pushed", "sha256:" + "cd" * 32)
    assert seen[1:3] == ["/v2/base/manifests/py3.13", "/v2/uv/manifests/1"]
    made = next(call for call in recorded.calls() if call[1:3] == ["buildx", "build"])
    assert f"BASE={host}/base@sha256:{'cd' * 32}" in made
    assert built.log is not None
    assert built.log.exists()


def test_a_base_that_is_not_there_is_named(
    project: Environment, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    record("docker").rules({"words": ["image", "inspect"], "code": 1})
    with serving(lambda asked: Answer(404)) as (host, _):
        monkeypatch.setenv("PODENV_BASE_IMAGE", f"{host}/base:py{{python}}")
        with pytest.raises(ImageMissing, match=rf"^The base image {host}/base:py3\.13 is not in its registry"):
            Images().build(project)


def test_pushing_needs_a_registry(project: Environment) -> None:
    with pytest.raises(SettingError, match=r"^There is no registry to push to; set"):
        Images(Options(push=True)).build(project)


def test_a_failed_build_names_the_cause_and_the_log(
    project: Environment, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    recorded = record("docker")
    said = "error: Failed to download `numpy==1.26.4`\n  cause: Hash mismatch for `numpy==1.26.4`"
    recorded.rules({"words": ["image", "inspect"], "code": 1}, {"words": ["buildx", "build"], "code": 1, "says": said})
    with serving(lambda asked: Answer(200, {"Docker-Content-Digest": "sha256:" + "cd" * 32})) as (host, _):
        monkeypatch.setenv("PODENV_BASE_IMAGE", f"{host}/base")
        monkeypatch.setenv("PODENV_UV_IMAGE", f"{host}/uv")
        with pytest.raises(BuildFailed) as caught:
            Images().build(project)
    assert str(caught.value) == (
        "The image of 'etl' could not be built: numpy==1.26.4 has another hash than the lock says; if that is meant, "
        f"run `podenv lock`. The whole log: {caught.value.log}"
    )
    assert "Hash mismatch" in caught.value.log.read_text()


def test_passwords_are_in_no_argument_and_no_log(
    project: Environment, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    recorded = record("docker")
    recorded.rules(
        {"words": ["image", "inspect"], "code": 1},
        {"words": ["buildx", "build"], "code": 1, "says": "cannot fetch https://me:s3cret@pypi.example/simple"},
    )
    monkeypatch.setenv("UV_INDEX", "https://me:s3cret@pypi.example/simple")
    with serving(lambda asked: Answer(200, {"Docker-Content-Digest": "sha256:" + "cd" * 32})) as (host, _):
        monkeypatch.setenv("PODENV_BASE_IMAGE", f"{host}/base")
        monkeypatch.setenv("PODENV_UV_IMAGE", f"{host}/uv")
        with pytest.raises(BuildFailed) as caught:
            Images().build(project)
    assert "https://me:***@pypi.example" in str(caught.value)
    assert "s3cret" not in str(caught.value) + caught.value.log.read_text() + json.dumps(recorded.calls())
