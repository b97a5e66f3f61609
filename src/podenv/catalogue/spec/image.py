"""The values that decide an environment's image, and where it is kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from podenv.catalogue.spec.dependencies import DefaultIndexUrl
from podenv.catalogue.spec.fields import Form, Model, NotReleased

_HOST = r"[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:[0-9]{1,5})?"
_PART = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*"
_DIGEST = "sha256:[0-9a-f]{64}"
# A base may hold {python}, which stands for the version.
_IMAGE = rf"[a-zA-Z0-9][-a-zA-Z0-9._:/{{}}]*(@{_DIGEST})?"

Host = Annotated[str, Form(_HOST, "registry; write it like registry.example.com:5000, without http://")]
Registry = Annotated[
    str,
    Form(rf"({_HOST}(/{_PART})*)?", "registry; write it like ghcr.io/acme or registry.example.com:5000, no http://"),
]
Repository = Annotated[
    str,
    Form(
        rf"({_PART}(/{_PART})*)?",
        "repository; lower-case letters, digits, '/', '-', '.'",
        reserved=".*[:@].*",
        because="names a registry, a tag or a digest too; "
        "these are values of their own: image.registry, image.tag, image.digest",
    ),
]
Tag = Annotated[str, Form("([A-Za-z0-9_][-A-Za-z0-9_.]*)?", "tag of an image", 128)]
Digest = Annotated[str, Form(f"({_DIGEST})?", "digest of an image; write it like sha256:<64 hex digits>", 71)]
Image = Annotated[str, Form(f"({_IMAGE})?", "reference of an image", 400)]
Platform = Annotated[str, Form("linux/[a-z0-9]+(/v[0-9]+)?", "platform; write it like linux/amd64", 40)]
RelativePath = Annotated[
    str, Form("([^/ ][^ ]*)?", "file in the environment's folder", 255, r"(.*/)?\.\.(/.*)?", "leaves the folder")
]
DebianPackage = Annotated[
    str,
    Form(
        "[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?(=[A-Za-z0-9.+:~-]+)?",
        "name of a Debian package; write it like libgomp1",
        200,
    ),
]


_WORD = "([^ -][^ ]*)?"  # nothing that cosign would take for an option


class SignatureSpec(Model):
    """What cosign signs with, and what it holds a signature against: a key, or an identity that CI has."""

    key: Annotated[str, Form(_WORD, "key of cosign; write a file or an address like awskms:///alias/images", 400)] = (
        Field(default="", description="Signs: a file or an address like awskms://. PODENV_COSIGN_KEY goes before it.")
    )
    public_key: Annotated[str, Form(_WORD, "public key of cosign; write a file or an address", 400)] = Field(
        default="", description="Verifies: a file seen from the environment's folder, or an address; empty: key."
    )
    identity: Annotated[str, Form(_WORD, "identity; write it like https://github.com/acme/x/.github/…", 400)] = Field(
        default="", description="Without a key: the identity in the certificate, such as a workflow of CI."
    )
    issuer: Annotated[str, Form(_WORD, "issuer; write it like https://token.actions.githubusercontent.com", 400)] = (
        Field(default="", description="Who vouches for the identity.")
    )
    transparency_log: bool = Field(
        default=True,
        description="Have cosign write the signature into sigstore's public log and look for it there; false with a "
        "key, where nothing may or can go there.",
    )


class ImageSpec(Model):
    """Where the image is kept and what it is made from."""

    registry: Registry = Field(default="", description="Like ghcr.io/acme. PODENV_REGISTRY goes before it.")
    repository: Repository = Field(default="", description="Name below the registry; empty: podenv-<environment>.")
    tag: Tag = Field(default="", description="Of an external image; else it follows from the content.")
    digest: Digest = Field(default="", description="Of an external image; else `podenv deploy` sets it.")
    external: bool = Field(default=False, description="The image is built elsewhere; any with a Python will do.")
    pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = Field(default="", description="When nodes pull it.")
    base: Annotated[Image, NotReleased] = Field(
        default="",
        description="Base image, {python} is the version; empty: docker.io/library/python:{python}-slim. "
        "PODENV_BASE_IMAGE goes before it.",
    )
    uv: Annotated[Image, NotReleased] = Field(
        default="", description="Image that holds /uv; PODENV_UV_IMAGE goes before it."
    )
    index: Annotated[DefaultIndexUrl, NotReleased] = Field(
        default="", description="Package index of lock, sync and build; empty: PyPI. UV_DEFAULT_INDEX goes before it."
    )
    platform: Platform = Field(default="linux/amd64", description="What the image runs on; its pods run there alone.")
    platforms: list[Platform] = Field(
        default=[], description="Several, platform among them: one index, with an image for each."
    )
    containerfile: Annotated[RelativePath, NotReleased] = Field(
        default="", description="The environment's own Containerfile, in its folder."
    )
    refresh: Annotated[str, Form("[ -~]*", "text of plain characters", 100), NotReleased] = Field(
        default="", description="Any text, like a date: another one makes a new image, with newer system packages."
    )
    builder: Annotated[Literal["", "docker", "buildah", "podman"], NotReleased] = Field(
        default="", description="Empty: the first one that works. PODENV_BUILDER goes before it."
    )
    cache: Annotated[Registry, NotReleased] = Field(
        default="",
        description="Repository that keeps layers for docker builders that start cold, like ghcr.io/acme/layers; "
        "`podenv build --push` fills it. PODENV_BUILD_CACHE goes before it.",
    )
    compression: Annotated[Literal["gzip", "zstd"], NotReleased] = Field(
        default="gzip",
        description="Of the layers that a push makes. zstd is smaller and faster to unpack; nodes need containerd 1.5 "
        "or CRI-O, and the builder is buildah or podman.",
    )
    attestations: Annotated[bool, NotReleased] = Field(
        default=False, description="A push attaches the bill of materials and the provenance to the image."
    )
    signature: Annotated[SignatureSpec, NotReleased] = Field(
        default=SignatureSpec(), description="Who signs the image, by cosign."
    )
    plain_http: Annotated[list[Host], NotReleased] = Field(
        default=[], description="Registries to talk to without TLS, beside localhost; PODENV_PLAIN_HTTP adds to it."
    )

    @property
    def built_for(self) -> tuple[str, ...]:
        """All platforms that there is an image for."""
        return tuple(dict.fromkeys(self.platforms)) or (self.platform,)


def check(image: ImageSpec) -> None:
    """Raise ValueError where the values that a person wrote contradict each other; a release's values have more."""
    if bool(image.signature.identity) != bool(image.signature.issuer):
        raise ValueError("signature: an identity and its issuer go together; give both or neither.")
    if image.signature.identity and not image.signature.transparency_log:
        raise ValueError("signature: an identity's signature holds by the log alone; leave transparencyLog true.")
    if image.platform not in image.built_for:
        raise ValueError(
            f"platforms: {image.platform}, which is image.platform, is not among them; set image.platform to one."
        )
    if image.external:
        if not image.repository or not (image.tag or image.digest):
            raise ValueError("an external image needs a repository, and a tag or a digest.")
    elif image.tag or image.digest:
        raise ValueError("the tag follows from the content; give a tag or a digest only with external: true.")


class ImageSettings(Model):
    """What the image of the environment has beside its lock."""

    image: ImageSpec = Field(default=ImageSpec(), description="The image: where it is kept, what it is made from.")
    system_packages: Annotated[list[DebianPackage], NotReleased] = Field(
        default=[], description="Debian packages in the image, like libgomp1."
    )
