"""The base image's digest in a file beside the lock."""

from collections.abc import Callable
from pathlib import Path

import pytest

from podenv import image
from podenv.catalogue.environment import Catalogue, Environment
from podenv.catalogue.reference import ImageRef
from podenv.errors import ImageMissing, LockError, LockStale, RegistryUnreachable
from podenv.image import base

ONE, OTHER = "sha256:" + "12" * 32, "sha256:" + "34" * 32
LOCK = "ab" * 32
NOTHING: dict[str, str] = {}
Ask = Callable[[ImageRef], str | None]


def environment(root: Path, values: str = "", *, python: str = "3.13") -> Environment:
    folder = root / "envs" / "etl"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "values.yaml").write_text(f'python: "{python}"\n{values}')
    return Catalogue(root / "envs")["etl"]


def pin(subject: Environment, ask: Ask, *, upgrade: bool = False) -> tuple[str, str]:
    return base.pin(subject, image.base_to_pin(subject, NOTHING), ask, upgrade=upgrade)


def nobody(ref: ImageRef) -> str | None:
    raise RegistryUnreachable("docker.io cannot be asked.")


def chosen(subject: Environment, **variables: str) -> str:
    return image.settings(subject, environ=variables).base


def test_a_pin_is_one_line_that_decides_the_tag_and_moves_only_when_asked(tmp_path: Path) -> None:
    subject = environment(tmp_path)
    before = image.image_ref(subject, LOCK, image.settings(subject, environ=NOTHING)).tag
    assert pin(subject, lambda ref: ONE) == ("pinned", "")
    assert base.file(subject).read_text() == (
        "# This file is written by `podenv lock etl`; `podenv lock etl --upgrade` moves it.\n"
        f"docker.io/library/python:3.13-slim@{ONE}\n"
    )
    assert pin(subject, nobody) == ("unchanged", "")
    assert pin(subject, lambda ref: ONE, upgrade=True) == ("unchanged", "")
    pinned = image.image_ref(subject, LOCK, image.settings(subject, environ=NOTHING)).tag
    assert pin(subject, lambda ref: OTHER, upgrade=True) == ("pinned", "")
    moved = image.image_ref(subject, LOCK, image.settings(subject, environ=NOTHING)).tag
    assert len({before, pinned, moved}) == 3
    assert [file.name for file in subject.folder.iterdir() if file.name.startswith(".")] == []


def test_where_the_registry_is_not_in_reach_a_pin_stays_and_a_missing_one_stays_away(tmp_path: Path) -> None:
    subject = environment(tmp_path)
    assert pin(subject, nobody) == ("unknown", "docker.io cannot be asked.")
    assert chosen(subject) == "docker.io/library/python:3.13-slim"
    pin(subject, lambda ref: ONE)
    assert pin(subject, nobody, upgrade=True) == ("unknown", "docker.io cannot be asked.")
    assert chosen(subject) == f"docker.io/library/python:3.13-slim@{ONE}"


def test_a_pin_of_another_base_is_stale_until_it_can_be_asked(tmp_path: Path) -> None:
    pin(environment(tmp_path), lambda ref: ONE)
    subject = environment(tmp_path, python="3.12")
    with pytest.raises(
        LockStale, match=r"base\.lock pins docker\.io/library/python:3\.13-slim, and the values of 'etl'"
    ):
        chosen(subject)
    with pytest.raises(RegistryUnreachable):
        pin(subject, nobody)
    with pytest.raises(ImageMissing, match=r"^The base image docker\.io/library/python:3\.12-slim is not in its"):
        pin(subject, lambda ref: None)
    assert pin(subject, lambda ref: OTHER) == ("pinned", "")
    assert chosen(subject) == f"docker.io/library/python:3.12-slim@{OTHER}"


def test_a_digest_in_the_values_and_a_variable_need_no_pin(tmp_path: Path) -> None:
    subject = environment(tmp_path, f"image: {{base: 'python:3.13@{ONE}'}}\n")
    assert pin(subject, nobody) == ("not to pin", "")
    subject = environment(tmp_path)
    pin(subject, lambda ref: ONE)
    assert image.base_to_pin(subject, {"PODENV_BASE_IMAGE": "mirror.example/python:{python}"}) is None
    assert chosen(subject, PODENV_BASE_IMAGE="mirror.example/python:{python}") == "mirror.example/python:3.13"


def test_a_file_that_is_no_pin_is_named(tmp_path: Path) -> None:
    subject = environment(tmp_path)
    for text in ("", "python:3.13\n", f"python@{ONE}\n", f"python:1@{ONE}\npython:2@{ONE}\n"):
        base.file(subject).write_text(text)
        with pytest.raises(LockError, match=r"base\.lock is not a valid pin of one image by tag and digest; remove it"):
            chosen(subject)
