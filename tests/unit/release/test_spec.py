"""A spec beside what Helm has recorded: what differs, and what does not."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from podenv.catalogue.environment import Catalogue
from podenv.catalogue.reference import ImageRef
from podenv.release import chart
from podenv.release.records import Record
from podenv.release.spec import ReleaseSpec, packages, release_values

VALUES: dict[str, Any] = {
    "python": "3.11",
    "image": {"registry": "r.example", "repository": "podenv-etl", "digest": "sha256:1", "pullPolicy": "Always"},
    "env": {"A": "1", "B": None},
    "nodeLossSeconds": 60.0,
    "lock": {"hash": "a" * 64, "packages": ["numpy"]},
}


def recorded(values: dict[str, Any], folder: Path | None = None, *, name: str = chart.NAME, **more: Any) -> Record:
    """A record as Helm writes it."""
    root = folder or chart.folder()
    files = [
        {"name": file.relative_to(root).as_posix(), "data": base64.b64encode(file.read_bytes()).decode()}
        for file in sorted(root.rglob("*"))
        if file.is_file() and file.name not in ("Chart.yaml", "values.yaml", "values.schema.json")
    ]
    content = {
        "chart": {
            "metadata": {**yaml.safe_load((root / "Chart.yaml").read_text()), "name": name},
            "values": yaml.safe_load((root / "values.yaml").read_text()),
            "schema": base64.b64encode((root / "values.schema.json").read_bytes()).decode(),
            "templates": [file for file in files if file["name"].startswith("templates/")],
            "files": [file for file in files if not file["name"].startswith("templates/")],
        },
        "config": values,
        "manifest": "---\nmetadata: {labels: {podenv.dev/environment: etl}}\n",
    }
    fields = {"revision": 1, "status": "deployed", "mark": 0, **more}
    return Record("etl", "ns", content=content, **fields)


def spec(values: dict[str, Any] = VALUES, folder: Path | None = None) -> ReleaseSpec:
    return ReleaseSpec("etl", "ns", folder or chart.folder(), values)


def test_a_release_of_the_same_values_and_chart_does_not_differ() -> None:
    assert spec().differences(recorded({**VALUES, "nodeLossSeconds": 60})) == []


@pytest.mark.parametrize(
    ("values", "differences"),
    [
        ({**VALUES, "warm": {"idle": None}}, ["warm"]),
        ({**VALUES, "env": {"A": "2", "B": None}}, ["env"]),
        ({**VALUES, "env": {}}, ["env"]),
        ({**VALUES, "nodeLossSeconds": True}, ["nodeLossSeconds"]),
        (
            {**VALUES, "image": {**VALUES["image"], "pullPolicy": ""}, "access": {"users": ["jane"]}},
            ["access", "image.pullPolicy"],
        ),
        ({**VALUES, "image": {**VALUES["image"], "digest": "sha256:2"}}, ["image"]),
        ({**VALUES, "lock": {"hash": "b" * 64, "packages": ["numpy"]}}, ["lock"]),
        ({key: value for key, value in VALUES.items() if key != "lock"}, ["lock"]),
    ],
)
def test_what_differs_is_named(values: dict[str, Any], differences: list[str]) -> None:
    assert spec().differences(recorded(values)) == differences


def test_values_that_repeat_the_charts_defaults_do_not_differ() -> None:
    """`helm get values --all` writes them, and removes what a null takes away."""
    defaults = yaml.safe_load((chart.folder() / "values.yaml").read_text())
    everything = {**defaults, **VALUES, "env": {"A": "1"}, "image": {**defaults["image"], **VALUES["image"]}}
    assert spec().differences(recorded(everything)) == []
    assert spec().differences(recorded({**everything, "tmp": {**defaults["tmp"], "sizeLimit": "9Gi"}})) == ["tmp"]


def test_what_only_the_build_and_commands_read_is_no_difference_and_in_no_release(tmp_path: Path) -> None:
    """Releases that an earlier podenv made hold it."""
    image = {**VALUES["image"], "base": "docker.io/library/python:3.11", "refresh": "2026", "plainHttp": ["r.example"]}
    old = {**VALUES, "image": image, "systemPackages": ["libgomp1"], "check": {"ignore": []}, "packages": ["../lib"]}
    assert spec().differences(recorded(old)) == []
    assert spec(old).differences(recorded(VALUES)) == []
    folder = tmp_path / "etl"
    folder.mkdir()
    (folder / "values.yaml").write_text(
        'python: "3.11"\nsystemPackages: [libgomp1]\nimage: {base: "r.example/base:1", pullPolicy: Always}\n'
        "cluster: {context: east}\nindexes: []\nplatforms: [linux/amd64]\nenv: {A: x}\n"
    )
    assert release_values(Catalogue(tmp_path)["etl"], ImageRef("r.example", "etl", digest="sha256:1")) == {
        "python": "3.11",
        "image": {"pullPolicy": "Always", "registry": "r.example", "repository": "etl", "digest": "sha256:1"},
        "env": {"A": "x"},
        "lock": {"hash": "", "packages": []},
    }


@pytest.mark.parametrize(
    "image",
    [
        {"repository": "r.example/podenv-etl", "digest": "sha256:1", "pullPolicy": "Always"},
        {"registry": "r.example", "digest": "sha256:1", "pullPolicy": "Always"},
    ],
)
def test_an_image_is_the_same_however_it_is_written(image: dict[str, str]) -> None:
    assert spec().differences(recorded({**VALUES, "image": image})) == []


def test_any_byte_of_the_chart_counts_and_what_editors_leave_does_not(tmp_path: Path) -> None:
    folder = tmp_path / "chart"
    shutil.copytree(chart.folder(), folder)
    (folder / "templates" / "role.yaml~").write_text("an editor's")
    (folder / ".hidden").write_text("")
    assert spec(folder=folder).differences(recorded(VALUES)) == []
    with (folder / "templates" / "role.yaml").open("a") as file:
        file.write("\n")
    assert spec(folder=folder).differences(recorded(VALUES)) == ["chart"]
    assert spec(folder=folder).differences(recorded(VALUES, folder)) == []


def test_a_release_of_another_chart_is_not_podenvs() -> None:
    assert recorded(VALUES).is_of_podenv
    assert not recorded(VALUES, name="airflow").is_of_podenv
    assert recorded(VALUES, name="airflow").chart == "airflow-0.1.0"
    other = recorded(VALUES)
    other.content["manifest"] = "---\nkind: ConfigMap\n"  # a chart of the same name
    assert not other.is_of_podenv


@pytest.mark.parametrize(
    ("status", "mark", "ours"),
    [
        ("pending-upgrade", 3, True),
        ("pending-upgrade", 2, False),  # plain helm upgrades what podenv deployed: the label is handed on
        ("pending-install", 0, False),
        ("pending-rollback", 1, True),
        ("pending-rollback", 0, False),
    ],
)
def test_a_pending_change_is_podenvs_where_it_made_that_revision(status: str, mark: int, ours: bool) -> None:
    assert recorded(VALUES, revision=3, status=status, mark=mark).is_left_by_podenv is ours


def test_a_release_records_name_and_version_and_one_of_an_earlier_podenv_names_alone() -> None:
    entries = ["numpy==1.26.4", "tool @ git+https://example.com/tool@0123", "PyYAML", "torch==2.4.0+cpu"]
    assert recorded({**VALUES, "lock": {"hash": "", "packages": entries}}).packages == {
        "numpy": "1.26.4", "pyyaml": "", "tool": "git+https://example.com/tool@0123", "torch": "2.4.0+cpu",
    }  # fmt: skip
    assert recorded({"python": "3.11"}).packages == {}


def test_what_the_image_holds_is_what_the_lock_installs_on_its_platform(tmp_path: Path) -> None:
    folder = tmp_path / "envs" / "etl"
    folder.mkdir(parents=True)
    (folder / "requirements.txt").write_text(
        "alpha==1.0\narm==2.0 ; platform_machine == 'aarch64'\nintel==3.0 ; platform_machine == 'x86_64'\n"
        "mac==4.0 ; sys_platform == 'darwin'\ntool @ git+https://example.com/tool@" + "0" * 40 + "\n"
    )
    (folder / "values.yaml").write_text('python: "3.11"\n')
    tool = "tool @ git+https://example.com/tool@" + "0" * 40
    assert packages(Catalogue(tmp_path / "envs")["etl"]) == ["alpha==1.0", "intel==3.0", tool]
    (folder / "values.yaml").write_text('python: "3.11"\nimage: {platform: linux/arm64}\n')
    assert packages(Catalogue(tmp_path / "envs")["etl"]) == ["alpha==1.0", "arm==2.0", tool]
