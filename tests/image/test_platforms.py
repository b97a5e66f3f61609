"""One image for several platforms."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.image.conftest import Project, Record, Recorded
from tests.registryserver import Answer, Asked, serving

from podenv import image, lock
from podenv.catalogue.environment import Catalogue, Environment
from podenv.catalogue.reference import ImageRef
from podenv.errors import BuilderNotFound, ImageMissing, ImageUnusable
from podenv.image import audit, index, inside, verify
from podenv.image.build import Images, Options
from podenv.image.builder import Buildah, Podman
from podenv.image.registry import Registries

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER = {"words": ["buildx", "inspect"], "prints": "Name: default\nPlatforms: linux/amd64*, linux/arm64, linux/386"}
ABSENT = {"words": ["image", "inspect"], "code": 1}
BASE = ImageRef("127.0.0.1:5000", "podenv/base", digest="sha256:" + "12" * 32)


class Registry:
    """Has a base and uv for two platforms, what is pushed by a recorded docker, and what is uploaded."""

    def __init__(self, recorded: Recorded, *, architectures: tuple[str, ...] = ("amd64", "arm64")) -> None:
        self._recorded = recorded
        self.uploaded: dict[str, bytes] = {}
        self.there: set[str] = set()
        entries = [
            {"digest": f"sha256:{one}", "platform": {"os": "linux", "architecture": one}} for one in architectures
        ]
        self._base = json.dumps({"manifests": entries}).encode()

    def __call__(self, asked: Asked) -> Answer:
        repository, _, what = asked.path.removeprefix("/v2/").partition("/")
        kind, _, name = what.partition("/")
        if asked.method == "PUT":
            self.uploaded[name] = asked.body
            return Answer(201)
        if kind == "blobs":
            return Answer(200, {}, json.dumps({"architecture": name.partition(":")[2]}).encode())
        if repository != "podenv-etl":
            one = json.dumps({"config": {"digest": name}}).encode()
            return _answer(self._base if name == "1" or len(name) > 64 else one, INDEX)
        pushed = {call[-1].rpartition(":")[2] for call in self._recorded.calls() if "push" in call} | self.there
        of = next((tag for tag in pushed if name in (tag, _digest(tag.encode()))), None)
        return Answer(404) if of is None else _answer(of.encode(), MANIFEST)


def _answer(body: bytes, kind: str) -> Answer:
    return Answer(200, {"Content-Type": kind, "Docker-Content-Digest": _digest(body)}, body)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def environment(root: Path, platforms: str = "platforms: [linux/arm64, linux/amd64]") -> Environment:
    folder = root / "envs" / "etl"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "values.yaml").write_text(f'python: "3.13"\nimage: {{{platforms}}}\n')
    (folder / "requirements.txt").write_text("# a lock\n")
    return Catalogue(root / "envs")["etl"]


Use = Callable[[str], None]


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Use:
    """Have images kept at a host, on a machine of linux/amd64, with a lock that is taken to be fresh."""
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PODENV_BUILDER", raising=False)
    monkeypatch.setattr("podenv.lock.check", lambda environment: None)
    monkeypatch.setattr("podenv.lock.platforms.here", lambda: "linux/amd64")

    def use(host: str) -> None:
        monkeypatch.setenv("PODENV_REGISTRY", host)
        monkeypatch.setenv("PODENV_BASE_IMAGE", f"{host}/base:1")
        monkeypatch.setenv("PODENV_UV_IMAGE", f"{host}/uv:1")

    return use


def tags(subject: Environment) -> dict[str, str]:
    found = {one: image.settings(subject, platform=one) for one in ("linux/amd64", "linux/arm64")}
    return {key: image.image_ref(subject, lock.lock_hash(subject), one).tag for key, one in found.items()}


def test_several_platforms_are_an_index_of_an_image_for_each(tmp_path: Path, record: Record, use: Use) -> None:
    recorded, subject = record("docker"), environment(tmp_path)
    warned: list[str] = []
    recorded.rules(ABSENT, DOCKER)
    registry = Registry(recorded)
    with serving(registry) as (host, _):
        use(host)
        built = Images(Options(push=True)).build(subject, warn=warned.append)
        of = tags(subject)
    expected = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [
            {
                "mediaType": MANIFEST,
                "digest": _digest(of[f"linux/{machine}"].encode()),
                "size": len(of[f"linux/{machine}"]),
                "platform": {"os": "linux", "architecture": machine},
            }
            for machine in ("amd64", "arm64")
        ],
    }
    assert {tag: json.loads(body) for tag, body in registry.uploaded.items()} == {built.ref.tag: expected}
    assert (built.state, built.digest) == ("pushed", _digest(registry.uploaded[built.ref.tag]))
    assert warned == ["builds for linux/arm64, which is slow where it is emulated"]
    assert built.ref.tag == image.wanted(environment(tmp_path, "platforms: [linux/amd64, linux/arm64]")).tag


def test_what_another_machine_has_pushed_is_not_built_here(tmp_path: Path, record: Record, use: Use) -> None:
    recorded, subject = record("docker"), environment(tmp_path)
    recorded.rules(ABSENT)
    registry = Registry(recorded)
    with serving(registry) as (host, _):
        use(host)
        registry.there = {tags(subject)["linux/arm64"]}
        Images(Options(push=True)).build(subject)
    (built,) = [call for call in recorded.calls() if call[1:3] == ["buildx", "build"]]
    assert built[built.index("--platform") + 1] == "linux/amd64"
    assert list(registry.uploaded) == [image.wanted(subject).tag]


def refusal(subject: Environment, registry: Registry, use: Use) -> str:
    """Why its image cannot be built here."""
    with serving(registry) as (host, _):
        use(host)
        with pytest.raises(BuilderNotFound) as caught:
            Images(Options(push=True)).build(subject)
    return str(caught.value)


def test_a_platform_that_cannot_be_built_here_says_why_before_anything_is_built(
    tmp_path: Path, record: Record, use: Use
) -> None:
    recorded, subject = record("docker"), environment(tmp_path)
    recorded.rules(ABSENT, {**DOCKER, "prints": "Platforms: linux/amd64, linux/386"})
    assert refusal(subject, Registry(recorded), use) == (
        "No image for linux/arm64 can be built here: docker is there but fails: its builder is one for linux/386, "
        "linux/amd64. Register an emulator (Debian: apt-get install qemu-user-static), or build that one on such a "
        "machine: `podenv build etl --platform linux/arm64 --push`."
    )
    with serving(Registry(recorded, architectures=("amd64",))) as (host, _):
        use(host)
        with pytest.raises(ImageMissing, match=rf"^The image of uv {host}/uv:1 of 'etl' is not made for linux/arm64;"):
            Images(Options(push=True)).build(subject)
    assert not [call for call in recorded.calls() if "build" in call]


def test_buildah_and_podman_try_a_program_of_the_platform(record: Record) -> None:
    recorded = record("buildah", "podman")
    Podman().try_platform(BASE, "linux/arm64")
    Buildah().try_platform(BASE, "linux/arm64")
    of = ["--platform", "linux/arm64"]
    pulled, *rest = recorded.calls()
    assert pulled == ["podman", "pull", "--tls-verify=false", *of, str(BASE)]
    container = rest[2][6]
    assert rest == [
        ["podman", "run", "--tls-verify=false", "--rm", "--pull", "never", "--network", "none", *of,
         "--entrypoint", "/bin/sh", str(BASE),
         "-c", ":"],
        ["buildah", "pull", "--tls-verify=false", *of, str(BASE)],
        ["buildah", "from", "--pull=never", *of, "--name", container, str(BASE)],
        ["buildah", "run", *rest[3][2:-7], "--network", "none", container, "--", "/bin/sh", "-c", ":"],
        ["buildah", "rm", container],
    ]  # fmt: skip


def test_without_an_emulator_it_is_said_what_would_help(tmp_path: Path, record: Record, use: Use) -> None:
    recorded, subject = record("buildah"), environment(tmp_path)
    says = "process failed to start with error: fork/exec /bin/sh: exec format error\nError: exit status 1"
    recorded.rules({"words": ["inspect"], "code": 1}, {"words": ["run"], "code": 1, "says": says})
    assert refusal(subject, Registry(recorded), use) == (
        "No image for linux/arm64 can be built here: buildah starts no program of it. Register an emulator (Debian: "
        "apt-get install qemu-user-static), or build that one on such a machine: `podenv build etl --platform "
        "linux/arm64 --push`."
    )
    with pytest.raises(ImageUnusable, match=r" is for linux/arm64, of which this machine starts no program\. Register"):
        inside.report(Buildah(), BASE, "audit.py", audit.MARK, platform="linux/arm64")


@pytest.mark.parametrize(("platform", "looked_at"), [(None, "linux/amd64"), ("linux/arm64", "linux/arm64")])
def test_one_image_of_an_index_is_verified(
    tmp_path: Path, record: Record, use: Use, platform: str | None, looked_at: str
) -> None:
    recorded, subject = record("docker"), environment(tmp_path)
    recorded.rules({"words": ["image", "inspect"]}, {"words": ["run"], "code": 125})
    with serving(Registry(recorded)) as (host, _):
        use(host)
        of = tags(subject)[looked_at]
        with pytest.raises(ImageUnusable):
            verify.verify(subject, Images(), platform=platform)
    (run,) = [call for call in recorded.calls() if call[1] == "run"]
    assert run[run.index("--platform") + 1 :][:2] == [looked_at, f"{host}/podenv-etl:{of}"]


@pytest.mark.cluster
@pytest.mark.usefixtures("_able_to_build")
def test_an_index_is_built_pushed_and_verified_for_real(project: Project) -> None:
    # The second one is a platform that every machine with a cluster for these tests can run.
    values = "image: {platforms: [linux/amd64, linux/amd64/v2], attestations: true}\n"
    subject = project.environment("two-platforms", values=values)
    built = project.build(subject, push=True, rebuild=True)
    registries = Registries()
    found = index.images(registries, built.ref.at(built.digest or ""))
    assert list(found) == ["linux/amd64", "linux/amd64/v2"]
    configs = [registries.config(one) or {} for one in found.values()]
    assert [(one["architecture"], one.get("variant")) for one in configs] == [("amd64", None), ("amd64", "v2")]
    assert project.build(subject, push=True).state == "there"
    assert verify.verify(subject, Images()).holds
