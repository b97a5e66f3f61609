"""Images for real: built by buildah, pushed to a registry, looked into."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import sourcetree
from tests.image.conftest import PASSWORD, Project, Run, Stores
from tests.packageindex import Index, served
from tests.registryserver import Answer, serving
from tests.sourcetree import Repository

from podenv import image, lock
from podenv.catalogue.environment import Catalogue, Environment
from podenv.errors import BuildFailed, ImageMissing, ImageUnusable, RegistryLoginNeeded
from podenv.image import sbom
from podenv.image.build import Built, Images, Options
from podenv.image.builder import Buildah
from podenv.image.registry import Registries
from podenv.image.verify import verify

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("_able_to_build")]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def etl(project: Project) -> Environment:
    """An environment with a system package and two packages."""
    return project.environment("etl", values="systemPackages: [libgomp1]\n")


@pytest.fixture(scope="module")
def built(project: Project, etl: Environment) -> Built:
    """Its image, in the registry."""
    return project.build(etl, push=True, rebuild=True)


def container(buildah: Run, ref: str) -> Iterator[str]:
    buildah("pull", "--tls-verify=false", ref)
    name = buildah("from", "--pull=never", ref)
    try:
        yield name
    finally:
        buildah("rm", name)


@pytest.fixture
def opened(buildah: Run, built: Built) -> Iterator[str]:
    """A container of the image."""
    yield from container(buildah, str(built.ref.at(built.digest or "")))


def test_what_was_pushed_is_there_and_not_built_again(project: Project, etl: Environment, built: Built) -> None:
    assert built.state == "pushed"
    again = project.build(etl, push=True)
    assert (again.state, again.digest) == ("there", built.digest)
    assert Images().digest(etl) == built.digest


def test_layers_of_its_own_are_compressed_by_zstd_where_the_values_say_so(project: Project) -> None:
    project.index.add("fresh", "1.0", files={"fresh.py": f"TEXT = '{uuid.uuid4()}'\n"})  # no registry has this layer
    small = project.environment("small", "fresh\n", values="image: {compression: zstd}\n")
    made = project.build(small, push=True)
    manifest = Registries(("127.0.0.1:5000",)).manifest(made.ref, platform="linux/amd64")
    assert manifest is not None
    assert manifest["layers"][-1]["mediaType"] == "application/vnd.oci.image.layer.v1.tar+zstd"
    assert verify(small, Images()).differences == ()


def test_the_image_is_its_lock(etl: Environment, built: Built) -> None:
    found = verify(etl, Images())
    assert found.differences == ()
    assert (found.packages, found.modules) == (2, 2)
    assert found.ref.digest == built.digest


def test_the_image_says_what_it_is(buildah: Run, opened: str, etl: Environment, built: Built) -> None:
    config = json.loads(buildah("inspect", "--type", "container", opened))["OCIv1"]["config"]
    labels = config["Labels"]
    assert labels.pop("org.opencontainers.image.base.digest").startswith("sha256:")
    assert labels == {
        "org.opencontainers.image.title": "etl",
        "org.opencontainers.image.version": built.ref.tag,
        "podenv.dev/environment": "etl",
        "podenv.dev/python": "3.11",
        "podenv.dev/lock": lock.lock_hash(etl),
    }
    assert (config["User"], config["Cmd"], config.get("Entrypoint")) == ("50000:0", ["python"], None)


def test_its_python_runs_as_nobody_special_with_all_it_needs(buildah: Run, opened: str) -> None:
    code = (
        "import os, sys, alpha, beta, getpass, ctypes; ctypes.CDLL('libgomp.so.1'); "
        "print(os.getuid(), os.getgid(), getpass.getuser(), os.environ['HOME'], alpha.VERSION, beta.VERSION, "
        "os.access(alpha.__file__, os.W_OK), os.path.exists(alpha.__cached__))"
    )
    isolation = ("--isolation", "chroot")
    assert buildah("run", *isolation, opened, "--", "python", "-c", code) == ("50000 0 podenv /tmp 1.0 2.0 False True")


def test_neither_passwords_nor_certificates_nor_uv_are_in_it(
    buildah: Run, opened: str, built: Built, tmp_path: Path
) -> None:
    buildah("push", "--tls-verify=false", str(built.ref), f"oci-archive:{tmp_path}/image.tar")
    with tarfile.open(tmp_path / "image.tar") as archive:
        archive.extractall(tmp_path / "image", filter="data")
    blobs = (tmp_path / "image" / "blobs" / "sha256").iterdir()
    for blob in (one for one in blobs if one.stat().st_size < 10_000_000):  # all but the base
        content = blob.read_bytes()
        unpacked = subprocess.run(["gzip", "-dc"], input=content, capture_output=True, check=False).stdout
        assert PASSWORD.encode() not in content + unpacked
    assert built.log is not None
    assert PASSWORD not in built.log.read_text()
    root = Path(buildah("mount", opened))
    assert sorted(path.name for path in (root / "run" / "secrets").glob("*")) == []
    assert not any(path.name == "uv" and path.is_file() for path in root.glob("*/*") if not path.is_symlink())
    assert list((root / "var" / "log").iterdir()) == []


def test_a_second_build_in_an_empty_store_gives_the_same_digest(
    project: Project, etl: Environment, built: Built, stores: Stores
) -> None:
    first = os.environ["CONTAINERS_STORAGE_CONF"]
    stores.use("second")
    try:
        again = project.build(etl, push=True, rebuild=True)
    finally:
        os.environ["CONTAINERS_STORAGE_CONF"] = first
    assert (again.state, again.digest) == ("pushed", built.digest)


def test_a_deleted_an_altered_and_an_unlocked_package_are_seen(project: Project, buildah: Run) -> None:
    damaged = project.environment("damaged")
    made = project.build(damaged, push=True, rebuild=True)
    site = "/opt/env/lib/python3.11/site-packages"
    name = buildah("from", "--pull=never", str(made.ref))
    change = (
        f"rm -r {site}/beta*; echo 'VERSION = 2' > {site}/alpha.py; mkdir {site}/gamma-1.0.dist-info; "
        f"printf 'Metadata-Version: 2.1\\nName: gamma\\nVersion: 1.0\\n' > {site}/gamma-1.0.dist-info/METADATA"
    )
    buildah("run", "--isolation", "chroot", "--user", "0:0", name, "--", "/bin/sh", "-c", change)
    buildah("commit", "--rm", name, str(made.ref))
    buildah("push", "--tls-verify=false", str(made.ref))
    assert verify(damaged, Images()).differences == (
        "beta 2.0 is in the lock and not installed",
        "gamma 1.0 is installed and not in the lock",
        "alpha: alpha.py was changed",
        "gamma: it has no record of its files",
    )


def test_a_tampered_hash_fails_with_the_name_of_the_package(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    tampered = project.environment("tampered")
    text = tampered.lock_file.read_text()
    lines = text.splitlines(keepends=True)
    where = next(n for n, line in enumerate(lines) if line.startswith("beta==")) + 1
    lines[where] = "    --hash=sha256:" + "0" * 64 + "\n"
    tampered.lock_file.write_text("".join(lines))
    monkeypatch.setattr("podenv.lock.check", lambda environment: None)  # it sees that the file was changed by hand
    with pytest.raises(BuildFailed) as caught:
        project.build(tampered)
    assert "beta==2.0 has another hash than the lock says" in str(caught.value)
    assert "Hash mismatch" in caught.value.log.read_text()


def test_a_failed_build_leaves_no_container_behind(buildah: Run, project: Project) -> None:
    broken = project.environment("broken", values="systemPackages: [no-such-package-anywhere]\n")
    with pytest.raises(BuildFailed, match="the base image's system has no package no-such-package-anywhere"):
        project.build(broken)
    assert buildah("containers", "--quiet") == ""


def test_an_interruption_leaves_no_tag_and_no_container(buildah: Run, project: Project) -> None:
    project.index.add("slow", f"1.{int(time.time())}")  # not in any cache
    held = project.environment("interrupted", asked="slow\n")
    ref = image.wanted(held)
    project.held.clear()
    project.waiting.clear()
    try:
        podenv = [sys.executable, "-c", "from podenv.cli import main; main()", "build", "--push", "interrupted"]
        process = subprocess.Popen(
            podenv, cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert project.waiting.wait(60), process.communicate()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        project.held.set()
    assert (process.returncode, said) == (130, "Interrupted.\n")
    assert Registries().digest(ref) is None
    assert buildah("containers", "--quiet") == ""
    assert project.build(held, push=True).state == "pushed"


def test_an_own_containerfile_is_built_in_its_folder_and_gets_the_labels(project: Project, buildah: Run) -> None:
    own = project.environment("own", values="image: {containerfile: Containerfile}\n")
    (own.folder / "Containerfile").write_text('ARG BASE\nFROM ${BASE}\nCOPY data.txt /data.txt\nCMD ["python3"]')
    (own.folder / "data.txt").write_text("mine\n")
    made = project.build(own)
    assert (made.state, made.digest) == ("built", None)
    for name in container_of(buildah, made):
        root = Path(buildah("mount", name))
        assert (root / "data.txt").read_text() == "mine\n"
        config = json.loads(buildah("inspect", "--type", "container", name))["OCIv1"]["config"]
        assert config["Labels"]["podenv.dev/environment"] == "own"
    assert project.build(own).state == "built"


def container_of(buildah: Run, made: Built) -> Iterator[str]:
    name = buildah("from", "--pull=never", str(made.ref))
    try:
        yield name
    finally:
        buildah("rm", name)


def test_an_external_image_is_found_by_what_the_values_name(project: Project, built: Built) -> None:
    registry = os.environ["PODENV_REGISTRY"]
    at = f"image: {{external: true, registry: '{registry}', repository: podenv-etl, tag: '{built.ref.tag}'}}\n"
    external = project.environment("external", values=at)
    external.lock_file.unlink()
    found = project.build(external)
    assert (found.state, found.digest) == ("external", built.digest)
    assert verify(external, Images()).holds
    gone = project.environment("gone", values=at.replace("podenv-etl", "nowhere"))
    with pytest.raises(ImageMissing, match=r"nowhere:.* is not in its registry; environment 'gone' names it"):
        project.build(gone)


def test_an_image_without_a_python_is_no_environment(project: Project) -> None:
    uv = image.settings(project.environment("uses-uv")).uv
    registry, _, rest = uv.partition("/")
    repository, _, tag = rest.partition(":")
    values = f"image: {{external: true, registry: '{registry}', repository: '{repository}', tag: '{tag}'}}\n"
    with pytest.raises(ImageUnusable, match=r"^No `python` could be run in "):
        verify(project.environment("pythonless", values=values), Images())


def test_what_is_nowhere_cannot_be_verified(project: Project) -> None:
    with pytest.raises(
        ImageMissing, match=r"is neither in its registry nor in buildah's store; run `podenv build new`\.$"
    ):
        verify(project.environment("new"), Images())


def test_a_registry_that_takes_nothing_without_a_login_says_so(
    project: Project, etl: Environment, built: Built, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def respond(asked: object) -> Answer:
        reading = getattr(asked, "method", "") == "HEAD" and "manifests" in getattr(asked, "path", "")
        return Answer(404) if reading else Answer(401, {"WWW-Authenticate": 'Basic realm="here"'})

    (tmp_path / "auth.json").write_text("{}")
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    with serving(respond) as (host, _):
        monkeypatch.setenv("PODENV_REGISTRY", host)
        with pytest.raises(RegistryLoginNeeded, match=rf"^{host} wants a login to take {host}/podenv-etl"):
            project.build(etl, push=True)


def test_buildah_works_by_chroot_where_no_runtime_does(
    etl: Environment, built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILDAH_ISOLATION", "chroot")
    builder = Buildah()
    said = builder.run(built.ref.at(built.digest or ""), ["python", "-c", "print('here')"], input=b"")
    assert said == "here\n"


def test_the_three_environments_are_built_pushed_and_verified(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PODENV_CACHE", str(tmp_path))
    for name in ("UV_DEFAULT_INDEX", "UV_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    catalogue = Catalogue(ROOT / "envs")
    names = ("data-cleaning", "data-ingestion", "model-training")
    images = Images(Options(push=True))
    found = {}
    for name in names:
        made = images.build(catalogue[name])
        assert made.state in ("pushed", "there")
        found[name] = verify(catalogue[name], images)
    assert {name: one.differences for name, one in found.items()} == dict.fromkeys(names, ())
    assert [found[name].python[:4] for name in names] == ["3.11", "3.11", "3.13"]


def test_an_image_takes_packages_from_their_own_index_and_from_git_and_keeps_no_login(
    project: Project, buildah: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Index(tmp_path / "own")
    own.add("torch", "1.0+cpu")
    project.index.add("torch", "2.0")
    repository = Repository(tmp_path / "git")
    monkeypatch.setenv("UV_INDEX_CPU_USERNAME", "reader")
    monkeypatch.setenv("UV_INDEX_CPU_PASSWORD", "s3cret-of-cpu")
    with served(own, ("reader", "s3cret-of-cpu")) as url:
        values = f"indexes: [{{name: cpu, url: '{url}', packages: [torch]}}]\n"
        subject = project.environment("sources", f"alpha\ntorch\ntool @ {repository.url}@main\n", values)
        built = project.build(subject, push=True, rebuild=True)
    found = verify(subject, Images())
    assert found.differences == ()
    assert found.packages == 4
    for name in container(buildah, str(built.ref.at(built.digest or ""))):
        code = "import torch, tool; print(torch.VERSION, tool.VERSION)"
        assert buildah("run", "--isolation", "chroot", name, "--", "python", "-c", code) == "1.0+cpu 1.0"
        root = Path(buildah("mount", name))
        assert "s3cret-of-cpu" not in buildah(
            "run", "--isolation", "chroot", name, "--", "sh", "-c", "cat /opt/*/*; env"
        )
        assert sorted(path.name for path in (root / "opt").iterdir()) == ["env", "install"]
    assert built.log is not None
    assert "s3cret-of-cpu" not in built.log.read_text()


def test_a_package_that_is_built_from_another_commit_is_seen(project: Project, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "git")
    subject = project.environment("commits", f"tool @ {repository.url}@main\n")
    project.build(subject, push=True, rebuild=True)
    ref = image.wanted(subject)
    second = repository.commit("1.0.1")
    lock.resolve(subject, upgrade=True)
    other = image.wanted(subject)
    assert other.tag != ref.tag
    subprocess.run(["buildah", "pull", "--tls-verify=false", str(ref)], check=True, capture_output=True)
    subprocess.run(["buildah", "tag", str(ref), str(other)], check=True)
    subprocess.run(["buildah", "push", "--tls-verify=false", str(other)], check=True, capture_output=True)
    (difference,) = verify(subject, Images()).differences
    assert difference.startswith("tool is built from commit ")
    assert difference.endswith(f", the lock says {second}")


def test_an_image_holds_the_projects_own_packages_and_another_one_after_a_change_of_their_code(
    project: Project, buildah: Run
) -> None:
    acme = sourcetree.write(project.root / "libs" / "acme", "acme", "1.0", requires=["alpha"])
    subject = project.environment("own-packages", "beta\n", "packages: [../../libs/acme]\n")
    built = project.build(subject, push=True)
    found = verify(subject, Images())
    assert found.differences == ()
    assert found.packages == 3
    for name in container(buildah, str(built.ref.at(built.digest or ""))):
        code = "import os, acme, alpha; print(os.getuid(), acme.VERSION, os.path.exists(acme.__cached__))"
        assert buildah("run", "--isolation", "chroot", name, "--", "python", "-c", code) == "50000 1.0 True"
    (bill,) = (one for one in sbom.bill(subject)["components"] if one["name"] == "acme")
    assert (bill["version"], bill["properties"][0]["value"]) == ("1.0", "../../libs/acme")
    assert project.build(subject, push=True).state == "there"
    (acme / "acme.py").write_text("VERSION = 'changed'\n")
    assert Images().digest(subject) is None
    changed = project.build(subject, push=True)
    assert changed.ref.tag != built.ref.tag
    assert verify(subject, Images()).differences == ()
    subprocess.run(["buildah", "pull", "--tls-verify=false", str(built.ref)], check=True, capture_output=True)
    subprocess.run(["buildah", "tag", str(built.ref), str(changed.ref)], check=True)
    subprocess.run(["buildah", "push", "--tls-verify=false", str(changed.ref)], check=True, capture_output=True)
    assert verify(subject, Images()).differences == (f"acme is built from other sources than those in {acme}",)
