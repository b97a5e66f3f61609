"""The values that decide where an environment's packages come from, and for which machines they are chosen."""

from __future__ import annotations

from typing import Annotated, Any

from packaging.utils import NormalizedName, canonicalize_name
from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from podenv.catalogue.spec.fields import Form, Model, NotReleased

_ADDRESS = "https?://[^ ]+"
_WITH_LOGIN = "[a-z+]+://[^/ ]*@.*"


def _index(pattern: str, remedy: str) -> Form:
    return Form(
        pattern,
        "package index; write it like https://pypi.example.com/simple",
        2000,
        reserved=_WITH_LOGIN,
        because=f"holds credentials, which have no place in a values file; {remedy}",
    )


IndexUrl = Annotated[
    str,
    _index(
        _ADDRESS,
        "put them into UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD, the netrc file or the keyring",
    ),
]
DefaultIndexUrl = Annotated[
    str, _index(f"({_ADDRESS})?", "set UV_DEFAULT_INDEX, or put them into the netrc file or the keyring")
]
IndexName = Annotated[
    str, Form("[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", "name of an index; write it like pytorch-cpu", 60)
]
PackageName = Annotated[
    str, Form("[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", "name of a package; write it like torch", 200)
]
SourceFile = Annotated[
    str,
    Form(
        r"([^/ ][^ ]*/)?(pyproject\.toml|uv\.lock|pylock(\.[^./ ]+)?\.toml)",
        "file to lock; name a pyproject.toml, uv.lock or pylock.toml, from the environment's folder on",
        255,
    ),
]
OwnPackage = Annotated[
    str, Form("[^/ ~][^ ]*", "folder of a package; name it from the environment's folder on, like ../../libs/acme", 255)
]
Machine = Annotated[str, Form("(linux|macos)/(amd64|arm64)", "platform of a laptop; write it like macos/arm64", 40)]


class IndexSpec(Model):
    """One more package index."""

    name: IndexName = Field(
        description="Its login comes from UV_INDEX_<NAME>_USERNAME and UV_INDEX_<NAME>_PASSWORD, netrc or the keyring."
    )
    url: IndexUrl = Field(description="Like https://download.pytorch.org/whl/cpu; without a login.")
    packages: list[PackageName] = Field(
        default=[], description="Only these come from it, and only from it; empty: it is asked first for every package."
    )


class SourceSpec(Model):
    """What to lock, in place of requirements.in; a text is its file."""

    file: SourceFile = Field(description="A pyproject.toml, uv.lock or pylock.toml of this project.")
    extras: list[PackageName] = Field(default=[], description="Optional dependencies to take too.")
    groups: list[PackageName] = Field(default=[], description="Dependency groups to take too.")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: object) -> object:
        return {"file": given} if isinstance(given, str) else given

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        made = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [made["properties"]["file"], made]}


class DependencySettings(Model):
    """Where packages come from, and the machines that each of them needs a wheel for."""

    source: Annotated[SourceSpec | None, NotReleased] = Field(
        default=None, description="What to lock, in place of requirements.in, like ../../pyproject.toml."
    )

    packages: Annotated[list[OwnPackage], NotReleased] = Field(
        default=[],
        description="The project's own packages to build in, like ../../libs/acme; each with pyproject.toml.",
    )
    indexes: Annotated[list[IndexSpec], NotReleased] = Field(
        default=[], description="More package indexes, in the order in which they are asked; image.index comes last."
    )
    platforms: Annotated[list[Machine], NotReleased] = Field(
        default=["linux/amd64", "macos/arm64"],
        description="This project's laptops: the lock holds for them and for the image's platforms.",
    )


def check(settings: DependencySettings) -> None:
    """Raise ValueError where two indexes contradict each other."""
    names = [index.name.lower() for index in settings.indexes]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two of them are called {name}; give each a name of its own.")
    places: dict[NormalizedName, str] = {}
    for index in settings.indexes:
        for package in index.packages:
            first = places.setdefault(canonicalize_name(package), index.name)
            if first != index.name:
                raise ValueError(f"{package} comes from {first} and from {index.name}; take it out of one of them.")
