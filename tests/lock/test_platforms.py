"""A lock holds for the image's platform and this project's laptops: each has a wheel of every version."""

from pathlib import Path

import pytest
from tests.lock.project import environment
from tests.packageindex import Index

from podenv import lock
from podenv.errors import LockStale, ResolutionFailed

LINUX = "cp312-cp312-manylinux2014_x86_64"
ARM = "cp312-cp312-manylinux2014_aarch64"
MAC = "cp312-cp312-macosx_11_0_arm64"
INTEL = "cp312-cp312-macosx_11_0_x86_64"


def versions(root: Path, values: str = "") -> str:
    """What is locked of ``one``."""
    subject = environment(root, "one\n", values=values)
    lock.resolve(subject)
    return " | ".join(lock.required(subject, ["one"]))


def test_a_version_that_the_image_has_no_wheel_for_is_not_chosen(tmp_path: Path, index: Index) -> None:
    index.add("one", "1.0")
    index.add("one", "2.0", tag=ARM)
    index.add_source("one", "2.0")
    subject = environment(tmp_path, "one\n")
    lock.resolve(subject)
    assert lock.pinned(subject, markers=lock.linux("3.12", "x86_64")) == {"one": "1.0"}
    on_arm = environment(tmp_path, "one\n", name="arm", values="image: {platform: linux/arm64}\nplatforms: []\n")
    lock.resolve(on_arm)
    assert lock.pinned(on_arm, markers=lock.linux("3.12", "aarch64")) == {"one": "2.0"}


def test_every_platform_named_has_a_wheel(tmp_path: Path, index: Index) -> None:
    index.add("one", "1.0", tag=LINUX)
    index.add("one", "1.0", tag=MAC)
    index.add("one", "2.0", tag=LINUX)
    index.add("one", "2.0", tag=INTEL)
    assert versions(tmp_path, "platforms: [linux/amd64]\n") == "one==2.0"
    assert "one==1.0" in versions(tmp_path)
    with pytest.raises(ResolutionFailed):
        versions(tmp_path, "platforms: [linux/arm64]\n")


def test_a_package_for_one_kind_of_machine_is_locked_where_the_project_has_no_other(
    tmp_path: Path, index: Index
) -> None:
    index.add("one", "1.0", tag=LINUX)
    assert versions(tmp_path, "platforms: []\n") == "one==1.0"
    with pytest.raises(ResolutionFailed) as caught:
        versions(tmp_path)
    assert str(caught.value).endswith(
        "podenv: The lock must hold for linux/amd64 and macos/arm64. For a package that only Linux has, write "
        "`NAME ; sys_platform == 'linux'`, for one that only amd64 has, `NAME ; platform_machine == 'x86_64'`; a "
        f"platform that this project does not use leave out of `platforms` or `image.platforms` in {tmp_path}/envs/etl/"
        "values.yaml."
    )


def test_other_platforms_make_a_lock_stale(tmp_path: Path, index: Index) -> None:
    index.add("one", "1.0")
    versions(tmp_path)
    with pytest.raises(LockStale, match="holds for linux/amd64 macos/arm64, the values ask for"):
        lock.check(environment(tmp_path, "one\n", values="platforms: [linux/arm64]\n"))
