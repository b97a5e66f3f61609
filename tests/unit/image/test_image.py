import hashlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podenv import image
from podenv.catalogue import reference
from podenv.catalogue.environment import Catalogue, Environment
from podenv.catalogue.reference import ImageRef
from podenv.errors import ImageError, SettingError, ValuesError
from podenv.image import Content

LOCK = "ab" * 32
DIGEST = "sha256:" + "12" * 32
OTHER = "sha256:" + "34" * 32
NOTHING: dict[str, str] = {}


def environment(root: Path, values: str = "", *, name: str = "etl", python: str = "3.13") -> Environment:
    folder = root / "envs" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "values.yaml").write_text(f'python: "{python}"\n{values}')
    return Catalogue(root / "envs")[name]


def tag(subject: Environment, lock_hash: str = LOCK, **variables: str) -> str:
    return image.image_ref(subject, lock_hash, image.settings(subject, environ=variables)).tag


def refusal(root: Path, values: str) -> str:
    with pytest.raises(ValuesError) as caught:
        environment(root, values)
    return f"{caught.value.key}: {caught.value.why}"


def test_without_values_the_image_is_local_and_made_from_the_official_python(tmp_path: Path) -> None:
    chosen = image.settings(environment(tmp_path), environ=NOTHING)
    assert (chosen.registry, chosen.repository) == ("localhost", "podenv-etl")
    assert (chosen.base, chosen.uv) == ("docker.io/library/python:3.13-slim", image.UV)
    assert (chosen.platform, chosen.builder, chosen.plain_http) == ("linux/amd64", "", ())


def test_variables_go_before_values(tmp_path: Path) -> None:
    values = "image: {registry: ghcr.io/acme, base: 'debian:{python}', builder: podman, plainHttp: ['a:5000']}\n"
    subject = environment(tmp_path, values)
    assert image.settings(subject, environ=NOTHING).base == "docker.io/library/debian:3.13"
    chosen = image.settings(
        subject,
        environ={
            "PODENV_REGISTRY": "127.0.0.1:5000/",
            "PODENV_BASE_IMAGE": "127.0.0.1:5000/base:py{python}",
            "PODENV_UV_IMAGE": "127.0.0.1:5000/uv:1",
            "PODENV_BUILDER": "buildah",
            "PODENV_PLAIN_HTTP": "b:80, c",
            "PODENV_BUILD_CACHE": "127.0.0.1:5000/layers",
        },
    )
    assert chosen.cache == "127.0.0.1:5000/layers"
    assert (chosen.registry, chosen.base) == ("127.0.0.1:5000", "127.0.0.1:5000/base:py3.13")
    assert (chosen.uv, chosen.builder) == ("127.0.0.1:5000/uv:1", "buildah")
    assert chosen.plain_http == ("a:5000", "b:80", "c")


def test_a_variable_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    subject = environment(tmp_path)
    with pytest.raises(SettingError, match=r"^PODENV_BUILDER is 'kaniko'; known are docker, buildah, podman\.$"):
        image.settings(subject, environ={"PODENV_BUILDER": "kaniko"})
    with pytest.raises(SettingError, match=r"^PODENV_BASE_IMAGE is 'a b', which is not a valid image reference"):
        image.settings(subject, environ={"PODENV_BASE_IMAGE": "a b"})
    with pytest.raises(SettingError, match=r"^PODENV_BUILD_CACHE is 'r/layers:1'; name a repository without tag"):
        image.settings(subject, environ={"PODENV_BUILD_CACHE": "r/layers:1"})
    with pytest.raises(SettingError, match=r"^--platform is 'amd64'; write one, like linux/amd64"):
        image.settings(subject, platform="amd64", environ=NOTHING)


def test_values_that_cannot_be_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "image: {registry: 'http://r:5000'}\n").startswith("image.registry: 'http://r:5000' is no")
    assert refusal(tmp_path, "image: {tag: v1}\n").startswith("image: the tag follows from the content;")
    assert refusal(tmp_path, "image: {external: true, repository: a/b}\n").startswith("image: an external image needs")
    assert "which have no place in a values file" in refusal(tmp_path, "image: {index: 'https://u:p@pypi.example/s'}\n")
    assert refusal(tmp_path, "image: {containerfile: ../x}\n").endswith("leaves the folder")
    assert refusal(tmp_path, "systemPackages: ['libgomp1; rm -rf /']\n").startswith("systemPackages.0:")
    assert (
        refusal(tmp_path, "image: {regestry: x}\n") == "image.regestry: there is no such key. Did you mean 'registry'?"
    )


def test_the_same_content_has_the_same_tag_wherever_it_comes_from(tmp_path: Path) -> None:
    first = environment(
        tmp_path / "one", f"image: {{base: 'a.example/python@{DIGEST}'}}\nsystemPackages: [b1, a1, b1]\n"
    )
    second = environment(
        tmp_path / "two",
        f"description: other words\nenv: {{A: b}}\nsystemPackages: [a1, b1]\n"
        f"image: {{base: 'b.example/mirror/python@{DIGEST}', registry: r.example, index: 'https://pypi.example/simple'}}\n",
    )
    assert tag(first) == tag(second, PODENV_BUILDER="podman", PODENV_PLAIN_HTTP="r.example")


@pytest.mark.parametrize(
    "values",
    [
        "systemPackages: [libgomp1]\n",
        "image: {platform: linux/arm64}\n",
        "image: {refresh: '2026-11-22'}\n",
        "image: {base: 'docker.io/library/python:3.13'}\n",
        f"image: {{base: 'docker.io/library/python:3.13-slim@{DIGEST}'}}\n",
        f"image: {{base: 'docker.io/library/python:3.13-slim@{OTHER}'}}\n",
        "image: {uv: 'ghcr.io/astral-sh/uv:0.1.0'}\n",
    ],
)
def test_what_changes_the_image_changes_the_tag(tmp_path: Path, values: str) -> None:
    plain = tag(environment(tmp_path / "plain"))
    assert plain.startswith("py3.13-")
    assert len(plain) == len("py3.13-") + 16
    assert tag(environment(tmp_path / "other", values)) != plain


CONTENT = st.builds(
    Content,
    environment=st.sampled_from(["etl", "a", "b"]),
    python=st.sampled_from(["3.8", "3.11", "3.13"]),
    base=st.sampled_from(["a:1", "a:2", DIGEST]),
    uv=st.sampled_from(["u:1", "u:2"]),
    system_packages=st.lists(st.sampled_from(["p", "q", "pq", "p,q"]), max_size=3).map(tuple),
    lock=st.text("0123456789abcdef", min_size=1, max_size=4),
    recipe=st.text("0123456789abcdef", min_size=1, max_size=4),
    refresh=st.text(max_size=3),
    platform=st.sampled_from(["linux/amd64", "linux/arm64"]),
    schema=st.integers(1, 3),
)


@given(one=CONTENT, other=CONTENT)
def test_two_tags_are_equal_exactly_where_the_contents_are(one: Content, other: Content) -> None:
    assert (one.tag == other.tag) == (one == other)


FIELDS = [name for name in Content.__dataclass_fields__ if name not in ("system_packages", "schema")]


@given(one=CONTENT, field=st.sampled_from(FIELDS), text=st.text(min_size=1, max_size=5))
def test_any_other_value_of_any_part_is_another_tag(one: Content, field: str, text: str) -> None:
    changed: dict[str, Any] = {field: getattr(one, field) + text}
    assert replace(one, **changed).tag != one.tag


def test_another_lock_or_python_or_name_is_another_tag(tmp_path: Path) -> None:
    subject = environment(tmp_path)
    tags = {
        tag(subject),
        tag(subject, "cd" * 32),
        tag(environment(tmp_path, python="3.12")),
        tag(environment(tmp_path, name="elt")),
    }
    assert len(tags) == 4


def own(root: Path) -> Environment:
    subject = environment(root, "image: {containerfile: docker/Containerfile}\n")
    (subject.folder / "docker").mkdir(exist_ok=True)
    (subject.folder / "docker" / "Containerfile").write_text("ARG BASE\nFROM ${BASE}\nCOPY data.txt /\n")
    (subject.folder / "data.txt").write_text("1")
    return subject


def test_the_order_of_system_packages_does_not_matter(tmp_path: Path) -> None:
    one = tag(environment(tmp_path / "one", "systemPackages: [b1, a1, c1]\n"))
    assert tag(environment(tmp_path / "two", "systemPackages: [c1, a1, b1, a1]\n")) == one


def test_an_own_containerfile_is_hashed_with_all_that_it_can_copy(tmp_path: Path) -> None:
    subject = own(tmp_path)
    before = tag(subject)
    assert before != tag(environment(tmp_path / "plain"))
    (subject.folder / "requirements.in").write_text("# not in the context\n")
    (subject.folder / ".hidden").write_text("neither")
    assert tag(subject) == before
    (subject.folder / "data.txt").write_text("2")
    changed = tag(subject)
    (subject.folder / "data.txt").chmod(0o755)
    assert len({before, changed, tag(subject)}) == 3
    (subject.folder / "docker" / "Containerfile").unlink()
    with pytest.raises(
        ImageError, match=r"docker/Containerfile is missing, and image\.containerfile of 'etl' names it"
    ):
        tag(subject)


def test_a_link_out_of_the_folder_is_no_part_of_an_own_context(tmp_path: Path) -> None:
    subject = own(tmp_path)
    (tmp_path / "outside").write_text("secret")
    (subject.folder / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(ImageError, match=r"link is a link out of the folder, which no other machine would have"):
        tag(subject)


def test_an_external_image_is_what_the_values_name_whatever_the_variables_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODENV_REGISTRY", "127.0.0.1:5000")
    subject = environment(tmp_path, "image: {external: true, registry: ghcr.io, repository: acme/etl, tag: v1}\n")
    assert image.wanted(subject) == ImageRef("ghcr.io", "acme/etl", tag="v1")
    pinned = environment(tmp_path, f"image: {{external: true, repository: acme/etl, tag: v1, digest: '{DIGEST}'}}\n")
    assert str(image.wanted(pinned)) == f"docker.io/acme/etl@{DIGEST}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.13-slim", "docker.io/library/python:3.13-slim"),
        ("redis:7", "docker.io/library/redis:7"),  # a number behind the colon is not always a port
        ("acme/python:1", "docker.io/acme/python:1"),
        ("localhost/python", "localhost/python:latest"),
        ("127.0.0.1:5000/podenv/base:py3.11", "127.0.0.1:5000/podenv/base:py3.11"),
        (f"ghcr.io/a/b:1@{DIGEST}", f"ghcr.io/a/b@{DIGEST}"),
    ],
)
def test_references_are_read_as_docker_reads_them(text: str, expected: str) -> None:
    assert str(reference.parse(text, setting="base")) == expected


@given(st.text())
def test_any_text_is_a_reference_or_one_error(text: str) -> None:
    with suppress(SettingError):
        assert reference.parse(text, setting="base").path


def test_labels_have_the_names_of_oci(tmp_path: Path) -> None:
    subject = environment(tmp_path)
    assert image.labels(subject, LOCK, tag="py3.13-1", base_digest=DIGEST, revision="") == {
        "org.opencontainers.image.title": "etl",
        "org.opencontainers.image.version": "py3.13-1",
        "org.opencontainers.image.base.digest": DIGEST,
        "podenv.dev/environment": "etl",
        "podenv.dev/python": "3.13",
        "podenv.dev/lock": LOCK,
    }


def test_the_wheel_and_the_tag_know_the_same_containerfile(tmp_path: Path) -> None:
    content = image.content(environment(tmp_path), LOCK, image.settings(environment(tmp_path), environ=NOTHING))
    assert content.recipe == hashlib.sha256(image.containerfile(environment(tmp_path))).hexdigest()
    text = image.containerfile(environment(tmp_path)).decode()
    assert "USER 50000:0" in text
    assert "--require-hashes" in text
    assert "#syntax" not in text.replace(" ", "")


def test_the_uv_of_the_image_is_the_one_of_the_development_install() -> None:
    lock = (Path(__file__).parents[3] / "requirements-dev.txt").read_text()
    version = next(line.split()[0].removeprefix("uv==") for line in lock.splitlines() if line.startswith("uv=="))
    assert f"ghcr.io/astral-sh/uv:{version}" == image.UV


def test_tags_differ_even_where_parts_could_run_together() -> None:
    one, other = (Content("e", "3.11", *parts, (), "l", "k", "r", "", "p") for parts in (("a", "bc"), ("ab", "c")))
    assert one.tag != other.tag
