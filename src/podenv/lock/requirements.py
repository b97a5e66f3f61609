"""requirements.in as people write it, with the files that it includes; read without a resolver."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from podenv.errors import RequirementsInvalid, RequirementsMissing

_COMMENT = re.compile(r"(^|\s+)#.*$")
_LOGIN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/@\s]*)@")
_HASH = re.compile(r"\s--hash[=\s]\S+")
_OPTION = re.compile(r"(--[a-z-]+|-[a-zA-Z])[\s=]*(.*)")
_GIT = ("git+https://", "git+http://", "git+ssh://", "git+file://")
_COMMIT = re.compile(r"@([0-9a-f]{40}|[0-9a-f]{64})(#.*)?$")
_INCLUDES = {"-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c"}
_INDEX = {"-i", "-f", "--index-url", "--extra-index-url", "--find-links", "--no-index", "--trusted-host"}


@dataclass
class Requested:
    """What a person asked for.

    ``names`` are the distributions asked for, in order, normalised; ``no_binary`` those to build from source;
    ``lines`` all that decides the result: the lines of every file without comments, each after its kind; ``archives``
    the names of what has to be built from an address, with the line that says so; ``git`` maps those
    of what is in a repository to what is asked for there.
    """

    names: list[NormalizedName] = field(default_factory=list)
    no_binary: list[NormalizedName] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    archives: list[tuple[NormalizedName, str]] = field(default_factory=list)
    git: dict[NormalizedName, str] = field(default_factory=dict)


def read(file: Path) -> Requested:
    """What ``file`` asks for, with all that it includes by ``-r`` and ``-c``.

    Raises `RequirementsMissing`, and `RequirementsInvalid` naming file and line.
    """
    requested = Requested()
    _read(file, "-r", requested, ())
    for name, where in requested.archives:
        if name not in requested.no_binary:
            raise RequirementsInvalid(
                f"{where}: this is a source archive, and only wheels are used; add a line `--no-binary {name}` to have "
                "it built where it is installed, or link a wheel of it."
            )
    return requested


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines of a requirements file with their numbers: continued ones joined, comments and empty ones left out."""
    joined, begun = "", 0
    for number, physical in enumerate(text.splitlines(), start=1):
        line = _COMMENT.sub("", physical).strip()
        begun = begun if joined else number
        if line.endswith("\\"):
            joined += line[:-1].rstrip() + " "
            continue
        if line := (joined + line).strip():
            yield begun, line
        joined = ""
    if joined.strip():
        yield begun, joined.strip()


def parse(line: str) -> Requirement:
    """The requirement in a logical line, without its hashes; raises `InvalidRequirement`."""
    return Requirement(_HASH.sub("", line))


def name(requirement: Requirement) -> NormalizedName:
    """The name as indexes compare it."""
    return canonicalize_name(requirement.name)


def has_login(text: str) -> bool:
    """True if an address in ``text`` holds a password, or a token in its place; `git@host` is not secret."""
    return any(":" in login or not scheme.endswith("ssh") for scheme, login in _LOGIN.findall(text))


def without_login(text: str) -> str:
    """``text`` as it may be shown: each login in an address becomes ``***``."""
    return _LOGIN.sub(r"\1://***@", text)


def is_git(url: str) -> bool:
    """True if a repository is at this address."""
    return url.startswith(_GIT)


def commit(url: str) -> str:
    """The commit that the address of a repository names in full, else an empty text."""
    found = _COMMIT.search(url)
    return found[1] if found else ""


def is_archive(url: str) -> bool:
    """True if what is at this address has to be built: anything but a wheel."""
    return not re.split("[?#]", url)[0].lower().endswith(".whl")


def _read(file: Path, kind: str, requested: Requested, above: tuple[Path, ...]) -> None:
    for number, line in logical_lines(_text(file)):
        where = f"{file}, line {number}: {without_login(line)!r}"
        if has_login(line):
            raise RequirementsInvalid(
                f"{where}: the address holds a login, which would be in the lock for all to read; leave it out, and "
                "give the login in a netrc file, or as that of an index."
            )
        option = _OPTION.match(line)
        if option is None:
            requirement = _check(line, where)
            if kind == "-r":
                if _HASH.search(line):
                    raise RequirementsInvalid(
                        f"{where}: a hash is not read from here, the lock holds those of the index; remove it."
                    )
                requested.names.append(canonicalize_name(requirement.name))
                if requirement.url and is_git(requirement.url):
                    requested.git[canonicalize_name(requirement.name)] = requirement.url
                elif requirement.url and is_archive(requirement.url):
                    requested.archives.append((canonicalize_name(requirement.name), where))
            requested.lines.append((kind, line))
            continue
        name, value = option.groups()
        requested.lines.append((kind, f"{name} {value}"))
        if name in _INCLUDES:
            _include(file, _INCLUDES[name] if kind == "-r" else kind, value, where, requested, above)
        elif name == "--no-binary" and _is_name(value):
            requested.no_binary.append(canonicalize_name(value))
        else:
            raise RequirementsInvalid(f"{where}: {_refusal(name)}")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RequirementsMissing(
            f"{file} is missing; write into it what the environment needs, one package a line, or name another file as "
            "`source` in the values."
        ) from None
    except UnicodeDecodeError:
        raise RequirementsInvalid(f"{file} is not UTF-8 text; save it as UTF-8.") from None
    except OSError as error:
        raise RequirementsInvalid(f"{file} cannot be read: {error.strerror}.") from None


def _check(line: str, where: str) -> Requirement:
    """A requirement that any machine can install, checked by its hash."""
    try:
        requirement = parse(line)
    except InvalidRequirement as error:
        why = str(error).splitlines()[0].rstrip(":")
        if line.startswith((".", "/", "~")) or "://" in line:
            why = "a path or an address alone has no name; write `name @ https://…`"
        raise RequirementsInvalid(
            f"{where} is not a valid requirement: {why}. Write it like `pandas>=2.1,<3`."
        ) from None
    if requirement.url and not requirement.url.startswith(("https://", "http://", *_GIT)):
        raise RequirementsInvalid(
            f"{where}: only an https:// archive or a git+https:// repository can be locked so that every machine can "
            "check it (not a path); publish the package, or link a wheel of it."
        )
    return requirement


def _include(file: Path, kind: str, value: str, where: str, requested: Requested, above: tuple[Path, ...]) -> None:
    if not value or "://" in value or value.startswith(("/", "~")) or "$" in value:
        raise RequirementsInvalid(
            f"{where}: name a file relative to this one; an address or a machine's path would not be the same for all."
        )
    target = file.parent / value
    if target.resolve() in (file.resolve(), *above):
        raise RequirementsInvalid(f"{where}: the files include each other; remove one of the two lines.")
    if not target.is_file():
        raise RequirementsMissing(f"{where}: there is no such file; correct the path, it is relative to {file.parent}.")
    _read(target, kind, requested, (*above, file.resolve()))


def _is_name(text: str) -> bool:
    try:
        return Requirement(text).name == text
    except InvalidRequirement:
        return False


def _refusal(option: str) -> str:
    if option in _INDEX:
        return (
            f"{option} is not read from here, since locks name no host; name the index in values.yaml, in `indexes` or "
            "image.index, which hold for lock, sync and build alike."
        )
    if option in ("-e", "--editable"):
        return "an editable install has no hash; publish the package, or name an https:// archive of it."
    if option == "--no-binary":
        return "name one package a line, like `--no-binary pyspark`."
    if option == "--only-binary":
        return "it holds for all packages already; remove the line."
    return f"{option} is not supported here; allowed are requirements, -r FILE, -c FILE and --no-binary NAME."
