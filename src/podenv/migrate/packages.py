"""Requirements as Airflow's operators take them -> lines of requirements.in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name

from podenv.catalogue.names import is_python_version
from podenv.lock.requirements import logical_lines, parse

_TEMPLATE = ("{{", "{%", "{#")
_CREDENTIALS = re.compile(r"://[^/\s]*@")
_OPTION = re.compile(r"(--?[a-zA-Z][a-z-]*)[=\s]*(.*)")
_COMMENT = re.compile(r"\s#\s*(.*)$")
# Options of pip that say nothing of what is installed.
_SILENT = {
    "--cache-dir", "--disable-pip-version-check", "--no-cache-dir", "--no-input", "--no-warn-script-location",
    "--prefer-binary", "--progress-bar", "--quiet", "--retries", "--root-user-action", "--timeout", "--upgrade",
    "--upgrade-strategy", "--verbose", "-U", "-q", "-qq", "-v",
}  # fmt: skip
_INDEX = {"--index-url", "-i", "--extra-index-url"}
_PYPI = "https://pypi.org/simple"
_TOOLS = {"pip", "setuptools", "wheel"}


class Unfit(Exception):
    """What cannot become lines of requirements.in, and what to do instead; the message is one sentence."""


@dataclass
class Asked:
    """Lines for requirements.in, and what else was asked for beside them.

    ``index`` takes the place of PyPI, ``indexes`` are further ones.
    """

    lines: list[str] = field(default_factory=list)
    index: str = ""
    indexes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    comments: dict[str, str] = field(default_factory=dict)

    @property
    def distributions(self) -> set[str]:
        """The normalised names of all distributions that are asked for."""
        return {canonicalize_name(parse(line).name) for line in self.lines if not line.startswith("-")}

    def add(self, text: str) -> None:
        """Take the lines of one requirement, or of a requirements file's text. Raises `Unfit`."""
        if is_template(text):
            raise Unfit(f"{brief(text)!r} is a template, known only when the task runs")
        comments = {
            line.partition(" #")[0].strip(): found[1] for line in text.splitlines() if (found := _COMMENT.search(line))
        }
        for _, line in logical_lines(text):
            self._line(line, comments.get(line, ""))

    def option(self, words: Iterable[str]) -> None:
        """Take options of ``pip install``. Raises `Unfit`."""
        rest = [word for text in words for word in str(text).split()]
        while rest:
            name, _, value = rest.pop(0).partition("=")
            if not value and rest and not rest[0].startswith("-"):
                value = rest.pop(0)
            self._option(name, value)

    def from_index(self, url: str, *, extra: bool) -> None:
        """Take the address of a package index, ``extra``: beside another one. Raises `Unfit`."""
        if is_template(url):
            raise Unfit("the address of its index is a template, known only when the task runs")
        if _CREDENTIALS.search(url):
            self.remarks.append(
                "its index has credentials in the address, which have no place in a values file: "
                "set UV_DEFAULT_INDEX, or put them into the netrc file"
            )
        elif not extra:
            self.index = "" if url.rstrip("/") == _PYPI else url
        elif url not in self.indexes:
            self.indexes.append(url)

    def _line(self, line: str, comment: str) -> None:
        option = _OPTION.fullmatch(line)
        if option is not None:
            self._option(*option.groups())
            return
        if "--hash" in line:
            line = line.partition("--hash")[0].strip().rstrip("\\").strip()
        try:
            requirement = parse(line)
        except InvalidRequirement:
            remedy = "write it as `NAME @ ADDRESS`" if "://" in line else "write it like `pandas>=2.1,<3`"
            raise Unfit(f"{brief(line)!r} is not a requirement with a name; {remedy}") from None
        if _CREDENTIALS.search(line) and not line.partition("@")[2].strip().startswith("git+ssh"):
            raise Unfit(f"the address of {requirement.name} holds credentials; move them to the netrc file")
        self.lines.append(line)
        if comment:
            self.comments[line] = comment

    def _option(self, name: str, value: str) -> None:
        if name in _SILENT:
            return
        if name in _INDEX:
            self.from_index(value, extra=name == "--extra-index-url")
        elif name == "--no-binary" and value not in (":all:", ":none:", ""):
            self.lines += [f"--no-binary {one}" for one in value.split(",")]
        elif name == "--pre":
            self.remarks.append("--pre has no counterpart: name the pre-release itself, like `pandas>=3.0rc1`")
        elif name == "--only-binary":
            return  # podenv takes wheels only
        else:
            raise Unfit(f"pip's option {name} has no counterpart in requirements.in")


def is_template(text: str) -> bool:
    """True if Airflow would render ``text``."""
    return any(mark in text for mark in _TEMPLATE)


def of_file(asked: Asked, file: Path, above: tuple[Path, ...] = ()) -> None:
    """Take what a requirements file asks for, with the files that it includes. Raises `Unfit`."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unfit(f"{file} cannot be read ({getattr(error, 'strerror', None) or 'it is not UTF-8'})") from None
    kept = []
    for line in text.splitlines():
        option = _OPTION.fullmatch(line.strip())
        if option is None or option[1] not in ("-r", "--requirement"):
            kept.append(line)
            continue
        included = (file.parent / option[2]).resolve()
        if included in above or included == file.resolve():
            raise Unfit(f"{file} includes itself")
        of_file(asked, included, (*above, file.resolve()))
    asked.add("\n".join(kept))


def installed(python: Path) -> tuple[str, Asked] | None:
    """The version and the packages of the virtual environment that ``python`` belongs to; None where there is none.

    Read from its files: the interpreter is not started. Where installers noted what was asked for, only that is taken.
    """
    root = python.parent.parent
    folders = sorted(root.glob("lib/python3.*/site-packages"))
    if not (root / "pyvenv.cfg").is_file() or not folders:
        return None
    version = folders[-1].parent.name.removeprefix("python")
    if not is_python_version(version):
        return None
    found = [one for one in distributions(path=[str(folders[-1])]) if _name(one) not in _TOOLS]
    requested = [one for one in found if one.read_text("REQUESTED") is not None]
    asked = Asked()
    for one in sorted(requested or found, key=_name):
        if one.read_text("direct_url.json") is not None:
            asked.remarks.append(
                f"{_name(one)} was not installed from an index there; add it to requirements.in as `NAME @ ADDRESS`"
            )
        else:
            asked.lines.append(f"{_name(one)}=={one.version}")
    return version, asked


def _name(distribution: Distribution) -> str:
    return canonicalize_name(distribution.metadata["Name"])


def brief(text: str) -> str:
    """``text`` on one line of a message, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."
