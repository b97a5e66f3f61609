"""What a person asks about: a package with versions, or the vulnerabilities in files of OSV.

The format: https://ossf.github.io/osv-schema/.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from podenv.errors import AdvisoryInvalid

Json = dict[str, Any]
_ID = re.compile(r"[A-Z][A-Z0-9]*-[A-Za-z0-9-]+")  # GHSA-..., CVE-..., PYSEC-...
_FILES = (".json", ".txt")
_ARCHIVE = "all.zip"  # what osv.dev publishes for an ecosystem


@dataclass(frozen=True)
class Question:
    """Which versions of ``package`` are meant, and ``text`` to call that by.

    They are those of ``versions``, those in one of ``ranges`` and those that ``specifier`` allows.
    """

    package: str
    text: str
    specifier: SpecifierSet | None = None
    versions: frozenset[str] = frozenset()
    ranges: tuple[tuple[tuple[str, str], ...], ...] = ()

    def covers(self, version: str) -> bool | None:
        """True if ``version`` is meant; None where that cannot be told, as of what is built from a repository."""
        if self.specifier is not None and not str(self.specifier):
            return True
        try:
            parsed = Version(version)
        except InvalidVersion:
            return None
        if self.specifier is not None:
            return self.specifier.contains(parsed, prereleases=True)
        return parsed in set(_parsed(self.versions)) or any(_is_in(parsed, one) for one in self.ranges)


def questions(words: Sequence[str]) -> list[Question]:
    """What ``words`` ask about: each is a requirement, an id, an OSV file, or a file that lists ids or requirements.

    Raises `AdvisoryInvalid`.
    """
    found: list[Question] = []
    for word in words:
        path = Path(word).expanduser()
        if path.is_file():
            found += _of_file(path)
        elif _ID.fullmatch(word):
            found += _of_json(_record(Path(), word, word), word)
        else:
            found.append(_requirement(word, f"There is no file {word}, and it is not a package either"))
    return list(dict.fromkeys(found))


def _of_file(path: Path) -> list[Question]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AdvisoryInvalid(f"{path} cannot be read as text: {error}.") from None
    if text.lstrip().startswith(("{", "[")):
        return _of_json(text, str(path))
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        word = line.partition("#")[0].strip()
        if not word:
            continue
        if _ID.fullmatch(word):
            found += _of_json(_record(path.parent, word, f"{path}, line {number}"), word)
        else:
            found.append(_requirement(word, f"{path}, line {number}: {word!r} is neither an id nor a package"))
    if not found:
        raise AdvisoryInvalid(f"{path} names nothing; write an id or a package like urllib3<2.2.2 on each line.")
    return found


def _requirement(text: str, otherwise: str) -> Question:
    try:
        if text.endswith(_FILES):  # as a package it would be one that no environment holds: all clear
            raise InvalidRequirement(text)
        one = Requirement(text)
    except InvalidRequirement:
        raise AdvisoryInvalid(f"{otherwise}; write it like urllib3, urllib3==2.2.1 or 'urllib3<2.2.2'.") from None
    if one.url or one.marker:
        raise AdvisoryInvalid(f"{text!r}: name a package and versions alone, like 'urllib3<2.2.2'.")
    return Question(canonicalize_name(one.name), text, one.specifier)


def _record(folder: Path, name: str, where: str) -> str:
    """The record of one id: a file in ``folder``, or in the archive of OSV's there."""
    with suppress(OSError):
        return (folder / f"{name}.json").read_text(encoding="utf-8")
    with suppress(OSError, KeyError, zipfile.BadZipFile), zipfile.ZipFile(folder / _ARCHIVE) as archive:
        return archive.read(f"{name}.json").decode()
    raise AdvisoryInvalid(
        f"{where}: nothing says what {'it' if where == name else name} is about; put {name}.json "
        f"(https://api.osv.dev/v1/vulns/{name}), or {_ARCHIVE}, which is OSV's archive of PyPI, into "
        f"{folder.absolute()}."
    )


def _of_json(text: str, name: str) -> list[Question]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise AdvisoryInvalid(f"{name} is not JSON: {error}.") from None
    records = list(_records(content))
    if not records:
        raise AdvisoryInvalid(f"{name} holds no record of OSV: each has an `id` and `affected` packages.")
    found = [question for record in records for question in _of_record(record, name)]
    if not found and not any(record.get("withdrawn") for record in records):
        raise AdvisoryInvalid(f"{name} names no package of PyPI, and environments hold no others.")
    return found


def _records(content: Any) -> Iterator[Json]:
    """The records in a file: one, a list, or the answer of OSV's API."""
    if isinstance(content, list):
        for one in content:
            yield from _records(one)
    elif isinstance(content, dict):
        if "id" in content and isinstance(content.get("affected"), list):
            yield content
        yield from _records(content.get("vulns", []))


def _of_record(record: Json, name: str) -> Iterator[Question]:
    if record.get("withdrawn"):
        return
    try:
        for one in record["affected"]:
            about = one.get("package") or {}
            if str(about.get("ecosystem", "")).lower().partition(":")[0] != "pypi":
                continue
            ranges = tuple(
                tuple((str(kind), str(version)) for event in each["events"] for kind, version in event.items())
                for each in one.get("ranges") or ()
                if each.get("type") in ("ECOSYSTEM", "SEMVER")
            )
            package = canonicalize_name(str(about["name"]))
            text = f"{record['id']}: {package}"
            yield Question(package, text, None, frozenset(map(str, one.get("versions") or ())), ranges)
    except (KeyError, TypeError, AttributeError) as error:
        raise AdvisoryInvalid(f"{name}: the record {record.get('id')} is not as OSV has it ({error!r}).") from None


def _is_in(version: Version, events: Sequence[tuple[str, str]]) -> bool:
    """True if a range holds the version: its events in order say where it begins and ends."""
    inside = False
    for kind, text in sorted(events, key=lambda event: (_key(event[1]), event[0] != "introduced")):
        at = None if text == "0" else _version(text)
        if text != "0" and at is None:
            continue
        if kind == "introduced" and (at is None or version >= at):
            inside = True
        elif at is not None and (
            (kind in ("fixed", "limit") and version >= at) or (kind == "last_affected" and version > at)
        ):
            inside = False
    return inside


def _key(text: str) -> tuple[bool, Version]:
    version = _version(text)
    return text != "0", version if version is not None else Version("0")


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _parsed(texts: frozenset[str]) -> Iterator[Version]:
    yield from filter(None, map(_version, texts))
