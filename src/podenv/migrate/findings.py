"""What was read in DAG files and what is proposed for it, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from podenv.catalogue.scaffold import NewEnvironment
from podenv.errors import PodenvError


@dataclass(frozen=True)
class Left:
    """A task that stays as it is: why, and what to do about it."""

    file: Path
    line: int
    what: str
    why: str


@dataclass(frozen=True)
class Remark:
    """Something to look at in a task that was carried over."""

    file: Path
    line: int
    text: str


@dataclass(frozen=True)
class Content:
    """What an environment holds: two tasks with equal content share one.

    ``requirements`` are the lines of requirements.in, sorted; ``index`` is the package index in the place of PyPI,
    ``indexes`` are further ones; ``image`` is the reference of an image built elsewhere.
    """

    python: str
    requirements: tuple[str, ...] = ()
    index: str = ""
    indexes: tuple[str, ...] = ()
    namespace: str = ""
    image: str = ""


@dataclass(frozen=True)
class Wish:
    """The environment that one task asks for; ``hint`` names it where its packages do not."""

    content: Content
    hint: str
    comments: dict[str, str] = field(default_factory=dict, compare=False)  # requirement -> what the file says of it
    heading: tuple[str, ...] = field(default=(), compare=False)  # what it says of all of them


@dataclass(frozen=True)
class Task:
    """A task that is carried over into ``environment``."""

    file: Path
    line: int
    what: str
    name: str
    environment: str


@dataclass
class Proposal:
    """An environment: one to make (``new``), or one that exists and holds just that."""

    name: str
    content: Content
    new: NewEnvironment | None
    tasks: list[Task] = field(default_factory=list)


@dataclass
class FileChange:
    """One DAG file: as it is, as it is to be (the same where nothing is to be done), or why it cannot be read."""

    file: Path
    before: bytes = b""
    after: bytes = b""
    error: PodenvError | None = None
    written: bool = False

    @property
    def changed(self) -> bool:
        """True if the file is to be edited."""
        return self.error is None and self.before != self.after


@dataclass
class Migration:
    """All that is proposed for the files that were read."""

    catalogue: Path
    files: list[FileChange] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
