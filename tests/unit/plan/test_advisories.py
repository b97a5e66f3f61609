"""What is asked about: packages with versions, records of OSV, lists."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from podenv.errors import AdvisoryInvalid
from podenv.plan.advisories import Question, questions

RECORD: dict[str, Any] = {
    "id": "GHSA-34jh-p97f-mpxf",
    "aliases": ["CVE-2024-37891"],
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Urllib3"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.26.19"}]},
                {"type": "ECOSYSTEM", "events": [{"introduced": "2.0.0"}, {"fixed": "2.2.2"}]},
                {"type": "GIT", "events": [{"introduced": "0"}, {"fixed": "40b6d16"}]},
            ],
            "versions": ["2.9.dev1"],
        },
        {"package": {"ecosystem": "npm", "name": "urllib3"}, "versions": ["9"]},
    ],
}


def only(word: str | Path) -> Question:
    [found] = questions([str(word)])
    return found


def record(folder: Path, content: object, name: str = "record.json") -> Path:
    file = folder / name
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize(
    ("word", "package", "covered", "other"),
    [
        ("urllib3", "urllib3", ["0.1", "2.2.1", "3.0rc1"], []),
        ("urllib3==2.2.1", "urllib3", ["2.2.1"], ["2.2.2"]),
        ("Typing_Extensions>=4,<5", "typing-extensions", ["4.0", "4.9rc1"], ["3.9", "5"]),
        ("torch==2.4.0", "torch", ["2.4.0", "2.4.0+cpu"], ["2.4.1"]),
    ],
)
def test_a_package_covers_the_versions_of_its_specifier(
    word: str, package: str, covered: list[str], other: list[str]
) -> None:
    found = only(word)
    assert (found.package, found.text) == (package, word)
    assert [found.covers(one) for one in covered] == [True] * len(covered)
    assert [found.covers(one) for one in other] == [False] * len(other)


def test_a_version_that_is_not_known_is_neither_covered_nor_not() -> None:
    assert only("urllib3<2").covers("") is None
    assert only("urllib3<2").covers("git+https://example.com/urllib3@0123") is None
    assert only("urllib3").covers("") is True


def test_a_record_of_osv_covers_its_ranges_and_its_versions_for_pypi(tmp_path: Path) -> None:
    found = only(record(tmp_path, RECORD))
    assert (found.package, found.text) == ("urllib3", "GHSA-34jh-p97f-mpxf: urllib3")
    for version, covered in (
        ("0.1", True), ("1.26.18", True), ("1.26.19", False), ("1.99", False), ("2.0.0", True), ("2.0.0rc1", False),
        ("2.2.1", True), ("2.2.2", False), ("2.9.dev1", True), ("9", False),
    ):  # fmt: skip
        assert found.covers(version) is covered, version


@pytest.mark.parametrize(
    ("events", "covered", "other"),
    [
        ([{"introduced": "1"}, {"last_affected": "2"}], ["1", "1.5", "2"], ["0.9", "2.0.1"]),
        ([{"introduced": "0"}], ["0.0.1", "99"], []),
        ([{"fixed": "2"}, {"introduced": "1"}, {"introduced": "3"}, {"fixed": "4"}], ["1", "3.5"], ["0.5", "2", "4"]),
        ([{"introduced": "1"}, {"limit": "2"}], ["1.9"], ["2"]),
    ],
)
def test_events_say_where_a_range_begins_and_ends_in_any_order(
    tmp_path: Path, events: list[dict[str, str]], covered: list[str], other: list[str]
) -> None:
    ranges = [{"type": "ECOSYSTEM", "events": events}]
    affected = [{"package": {"ecosystem": "PyPI", "name": "a"}, "ranges": ranges}]
    found = only(record(tmp_path, {"id": "X-1", "affected": affected}))
    assert [one for one in (*covered, *other) if found.covers(one)] == covered


def test_several_records_come_as_a_list_or_as_the_answer_of_the_api(tmp_path: Path) -> None:
    other = {"id": "PYSEC-1", "affected": [{"package": {"ecosystem": "PyPI", "name": "b"}, "versions": ["1"]}]}
    for content in ([RECORD, other], {"vulns": [RECORD, other]}, [{"vulns": [RECORD]}, other]):
        found = questions([str(record(tmp_path, content))])
        assert [one.text for one in found] == ["GHSA-34jh-p97f-mpxf: urllib3", "PYSEC-1: b"]


def test_a_list_names_packages_and_ids_whose_records_stand_beside_it(tmp_path: Path) -> None:
    record(tmp_path, RECORD, "GHSA-34jh-p97f-mpxf.json")
    other = {"id": "PYSEC-2024-1", "affected": [{"package": {"ecosystem": "PyPI", "name": "b"}, "versions": ["1"]}]}
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("PYSEC-2024-1.json", json.dumps(other))
    listed = tmp_path / "ids.txt"
    listed.write_text("# this week\nGHSA-34jh-p97f-mpxf\n\nPYSEC-2024-1  # a comment\nnumpy<2\nnumpy<2\n")
    assert [one.text for one in questions([str(listed)])] == [
        "GHSA-34jh-p97f-mpxf: urllib3", "PYSEC-2024-1: b", "numpy<2",
    ]  # fmt: skip


def test_a_record_that_was_withdrawn_asks_nothing(tmp_path: Path) -> None:
    assert questions([str(record(tmp_path, {**RECORD, "withdrawn": "2024-07-01T00:00:00Z"}))]) == []


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.json", "{", "is not JSON"),
        ("a.json", "{}", "holds no record of OSV: each has an `id` and `affected` packages."),
        ("a.json", '{"id": "X-1", "affected": []}', "names no package of PyPI"),
        ("a.json", '{"id": "X-1", "affected": [{"package": {"ecosystem": "PyPI"}}]}', "X-1 is not as OSV has it"),
        ("ids.txt", "# nothing\n", "names nothing; write an id or a package like"),
        ("ids.txt", "\nCVE-2024-37891\n", "line 2: nothing says what CVE-2024-37891 is about; put CVE-2024-37891.json"),
        ("ids.txt", "not a package\n", "line 1: 'not a package' is neither an id nor a package; write it like"),
        ("ids.txt", "a @ https://example.com/a.whl\n", "name a package and versions alone"),
    ],
)
def test_what_is_neither_is_refused_by_its_place(tmp_path: Path, name: str, content: str, why: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(AdvisoryInvalid, match=re.escape(why)):
        questions([str(file)])


def test_an_id_is_looked_up_in_the_working_folder_and_never_taken_for_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = "GHSA-34jh-p97f-mpxf: nothing says what it is about; put GHSA-34jh-p97f-mpxf.json (https://api.osv.dev/"
    with pytest.raises(AdvisoryInvalid, match=f"^{re.escape(said)}"):
        questions(["GHSA-34jh-p97f-mpxf"])
    with pytest.raises(AdvisoryInvalid, match=r"^There is no file GHSA-34jh-p97f-mpxf\.json, and"):
        questions(["GHSA-34jh-p97f-mpxf.json"])
    record(tmp_path, RECORD, "GHSA-34jh-p97f-mpxf.json")
    assert [one.package for one in questions(["GHSA-34jh-p97f-mpxf"])] == ["urllib3"]


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        AdvisoryInvalid, match=r"^There is no file no/such\.json, and it is not a package either; write"
    ):
        questions(["no/such.json"])
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AdvisoryInvalid, match="cannot be read as text"):
        questions([str(tmp_path / "binary")])
