"""Names for environments: what exists and holds the same is used again, what is new is named after its content."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from packaging.utils import canonicalize_name

from podenv.catalogue.environment import Catalogue, Environment
from podenv.catalogue.names import MAX_NAME_CHARACTERS, check_environment_name
from podenv.catalogue.reference import parse as parse_image
from podenv.catalogue.scaffold import NewEnvironment
from podenv.errors import InvalidName, PodenvError
from podenv.lock import requirements
from podenv.migrate import images
from podenv.migrate.findings import Content, Proposal, Wish

_MOST_PACKAGES = 2  # in a name; an environment with more is named after its task
_INDEX_COMMENT = "Where its packages come from, in the place of PyPI."
_INDEXES_COMMENT = "Where packages come from too; `packages: [NAME, ...]` binds an index to those that only it has."
_NAMESPACE_COMMENT = "Where its pods run: what the tasks use there (Secrets, service accounts) stays in reach."
_IMAGE_COMMENT = "An image that is built elsewhere. requirements.in is for `podenv run` without a cluster."


class Namer:
    """Hands out one environment for each content."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._taken = set(catalogue.names())
        self._by_content: dict[Content, Proposal] = {}
        for name in sorted(self._taken):
            try:
                content = _content(catalogue[name])
            except PodenvError:  # a broken one is named by every other command
                continue
            if content is not None:
                self._by_content.setdefault(_key(content), Proposal(name, content, new=None))

    def proposal(self, wish: Wish) -> Proposal:
        """The environment for ``wish``: one that exists, one that was proposed before, or a new one."""
        key = _key(wish.content)
        if key not in self._by_content:
            name = self._free(_stem(wish), wish.content)
            self._by_content[key] = Proposal(name, wish.content, _new(name, wish))
        return self._by_content[key]

    def _free(self, stem: str, content: Content) -> str:
        candidates = [
            stem,
            f"{stem}-py{content.python.replace('.', '')}",
            *(f"{stem}-{number}" for number in range(2, 1000)),
        ]
        name = next(one for one in candidates if one not in self._taken and not (self._catalogue.root / one).exists())
        self._taken.add(name)
        return name


def _key(content: Content) -> Content:
    """The same for every way to write the same requirements and the same image."""
    lines = sorted({_plain(line) for line in content.requirements})
    image = str(parse_image(content.image, setting="image")) if content.image else ""
    return replace(content, requirements=tuple(lines), image=image)


def _plain(line: str) -> str:
    if line.startswith("-"):
        return line
    requirement = requirements.parse(line)
    requirement.name = canonicalize_name(requirement.name)
    return str(requirement)


def _content(environment: Environment) -> Content | None:
    """What an environment that exists holds, as a task would ask for it; None where its lock has another source."""
    spec, image = environment.spec, environment.spec.image
    if spec.source is not None:
        return None
    lines = [line for kind, line in requirements.read(environment.requirements_in).lines if kind == "-r"]
    reference = ""
    if image.external:
        place = f"{image.registry}/{image.repository}" if image.registry else image.repository
        reference = f"{place}@{image.digest}" if image.digest else f"{place}:{image.tag}"
        lines = []
    indexes = tuple(index.url for index in spec.indexes)
    return Content(environment.python, tuple(sorted(set(lines))), image.index, indexes, spec.namespace or "", reference)


def _stem(wish: Wish) -> str:
    content = wish.content
    packages = [re.split(r"[^A-Za-z0-9._-]", line)[0] for line in content.requirements if not line.startswith("-")]
    if content.image:
        image = images.short_name(content.image)
        text = f"python-{content.python}" if image == "python" else image
    elif 0 < len(packages) <= _MOST_PACKAGES:
        text = "-".join(packages)
    elif not packages and not content.index and not content.indexes:
        text = f"python-{content.python}"
    else:
        text = wish.hint
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[: MAX_NAME_CHARACTERS - 6].strip("-")  # room for -py313
    try:
        return check_environment_name(name)
    except InvalidName:
        return "migrated"


def _indexes(urls: Sequence[str]) -> list[dict[str, str]]:
    """``indexes`` of values.yaml, each with a name from its address."""
    named: dict[str, str] = {}
    for url in urls:
        stem = (
            re.sub(r"[^a-z0-9]+", "-", url.partition("://")[2].lower()).strip("-")[: MAX_NAME_CHARACTERS - 2].strip("-")
        )
        named[stem if stem not in named else f"{stem}-{len(named) + 1}"] = url
    return [{"name": name, "url": url} for name, url in named.items()]


def _new(name: str, wish: Wish) -> NewEnvironment:
    content = wish.content
    lines = [f"# {text}" for text in wish.heading]
    lines += [f"{line}  # {wish.comments[line]}" if line in wish.comments else line for line in content.requirements]
    values: dict[str, tuple[object, str]] = {}
    if content.namespace:
        values["namespace"] = (content.namespace, _NAMESPACE_COMMENT)
    if content.image:
        values["image"] = (images.values(content.image), _IMAGE_COMMENT)
    elif content.index:
        values["image"] = ({"index": content.index}, _INDEX_COMMENT)
    if content.indexes:
        values["indexes"] = (_indexes(content.indexes), _INDEXES_COMMENT)
    return NewEnvironment(name, content.python, requirements=tuple(lines), values=values)
