"""What uv writes, made into what a lock holds: no condition that always holds, no file that only podenv knows."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import suppress

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from podenv.catalogue.environment import Environment
from podenv.lock import indexes, platforms, requirements
from podenv.lock.requirements import Requested

# Files that podenv gives uv beside those of a person.
COMMITS = "commits.txt"
EXPORTED = "exported.in"
OWN_PACKAGES = "own-packages.in"
_BY_PINS = rf"{indexes.PINS} \(.*\)"
_OUR_REASONS = re.compile(
    rf"^ +#(?: via|  ) (?:{_BY_PINS}|--override \S+{COMMITS}|-r \S+{OWN_PACKAGES})\n?", re.MULTILINE
)
_ONLY_BY_PINS = re.compile(rf"# via {_BY_PINS}")
_REF = "    # asked for: "


def environments(environment: Environment) -> list[str]:
    """The conditions under which the lock is used: one Python, some systems."""
    systems = platforms.systems(platforms.of(environment))
    return [f"{_below(environment)} and sys_platform == '{system}'" for system in systems]


def simplified(environment: Environment, text: str) -> str:
    """``text`` without the conditions that hold in all of `environments`."""
    below = _below(environment)
    each = sorted(f"sys_platform == '{one}'" for one in platforms.systems(platforms.of(environment)))
    systems = f"({' or '.join(each)})" if len(each) > 1 else each[0]
    # uv before 0.13.9 writes the same condition so.
    spelled_out = " or ".join(f"({below} and {one})" for one in each)
    text = text.replace(spelled_out, f"{below} and {systems}")
    for always in (f" ; {below} and {systems}", f"{below} and ", f" and {systems}"):
        text = text.replace(always, "")
    return text


def without_our_reasons(text: str) -> str:
    """``text`` without the reasons (``# via``) that name a file of podenv's: the file is gone afterwards."""
    return _OUR_REASONS.sub("", text)


def without(text: str, names: Collection[str]) -> str:
    """``text`` without the entries of the packages ``names``."""
    kept = []
    for entry in re.split(r"^(?=\S)", text, flags=re.MULTILINE):
        name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", entry)
        if name is None or canonicalize_name(name[0]) not in names:
            kept.append(entry)
    return "".join(kept)


def is_needed_by_pins_alone(text: str, name: str) -> bool:
    """True if every entry of the package ends with the one reason that the pins ask for it."""
    entries = re.findall(rf"^{re.escape(name)}(?:==| @ ).*\n(?: +--hash.*\n)*((?: +#.*\n?)*)", text, re.MULTILINE)
    return bool(entries) and all(_ONLY_BY_PINS.fullmatch(reasons.strip()) for reasons in entries)


def with_refs(text: str, requested: Requested) -> str:
    """``text`` with what was asked for below each commit, so that a later lock can keep it."""
    lines = []
    for line in text.splitlines(keepends=True):
        lines.append(line)
        name, at, url = line.partition(" @ ")
        if at and requirements.is_git(url) and (asked := requested.git.get(canonicalize_name(name))):
            lines.append(f"{_REF}{asked}\n")
    return "".join(lines)


def refs(lock: str) -> Iterator[tuple[Requirement, str]]:
    """The commits in a lock, each with what was asked for."""
    for line, asked in re.findall(rf"^(\S.*)\n{re.escape(_REF)}(.*)$", lock, re.MULTILINE):
        with suppress(InvalidRequirement):
            yield requirements.parse(line), asked


def _below(environment: Environment) -> str:
    minor = int(environment.python.partition(".")[2])
    return f"python_full_version < '3.{minor + 1}'"
