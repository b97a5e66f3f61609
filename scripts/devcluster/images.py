"""The images that everything else is built on: two Debians with a Python, uv, and pause; made once, then kept."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from devcluster import kubernetes, packages, tools
from devcluster.places import Places, made_whole
from devcluster.programs import run

REGISTRY = "127.0.0.1:5000"
# The time of every file, so that two runs give the same bytes: 2025-01-01.
FILE_TIME = "1735689600"
COMPILE = "python3 -m compileall -qf --invalidation-mode unchecked-hash"
# What differs from run to run or from machine to machine: bytecode of Debian's own compiler, compiled with the time of
# the run in it, and two files of the host.
VARYING = ("/usr/share/python3/debpython/__pycache__", "/etc/hostname", "/etc/resolv.conf")
# To be counted up whenever one of the images below comes out differently, so that a cache of before is not used.
RECIPE = "recipe-4"
# A container reads neither manuals nor other languages.
EXCLUDED = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*")


@dataclass(frozen=True)
class Image:
    """An image of ours: `repository:tag` in the registry, an OCI layout in the cache."""

    repository: str
    tag: str

    @property
    def reference(self) -> str:
        return f"{REGISTRY}/{self.repository}:{self.tag}"

    def layout(self, places: Places) -> Path:
        """Where the OCI layout is kept."""
        return places.cache / "images" / RECIPE / f"{self.repository.replace('/', '-')}-{self.tag}"

    def is_made(self, places: Places) -> bool:
        return (self.layout(places) / "index.json").is_file()


BASES = {"bookworm": Image("podenv/base", "py3.11"), "trixie": Image("podenv/base", "py3.13")}
BASE_PATTERN = f"{REGISTRY}/podenv/base:py{{python}}"
UV = Image("podenv/uv", tools.UV_VERSION)
PAUSE = Image("podenv/pause", "1")
ALL = (*BASES.values(), UV, PAUSE)


def make_base(release: str, places: Places, log: Path) -> None:
    """Bootstrap a Debian `release` with its full python3 (bookworm: 3.11, trixie: 3.13); 50 s, 43 MB."""
    # Without usr-is-merged, usrmerge and with it all of perl comes along.
    merged = {"bookworm": (",usr-is-merged", ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"])}
    package, hooks = merged.get(release, ("", []))
    with tempfile.TemporaryDirectory(dir=places.cache) as folder:
        tar = Path(folder, "root.tar")
        command = [
            "mmdebstrap",
            "--variant=minbase",
            f"--include=python3,ca-certificates{package}",
            *hooks,
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED),
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            "--aptopt=APT::Install-Recommends false",
            # buildah gives every file one time, and bytecode that knows its source by the time would be out of date.
            f'--customize-hook=chroot "$1" sh -c "{COMPILE} /usr/lib/python3*"',
            "--customize-hook=rm -rf " + " ".join(f'"$1{path}"' for path in VARYING),
            release,
            str(tar),
            *(f"deb {place}" for place in packages.machine_sources(release)),
        ]
        run(command, log=log, env={"SOURCE_DATE_EPOCH": FILE_TIME, **packages.proxies()})
        build(BASES[release].layout(places), tar.parent, 'ADD root.tar /\nENV LANG=C.UTF-8\nCMD ["python3"]', log)


def make_uv(places: Places, log: Path) -> None:
    """An image with /uv and nothing else, like the one that uv's authors publish."""
    with tempfile.TemporaryDirectory(dir=places.cache) as folder:
        wheel = tools.download("uv", UV.tag, Path(folder), log, platform=tools.UV_PLATFORM)
        run(["python3", "-m", "zipfile", "--extract", wheel, folder])
        (program,) = Path(folder).glob("uv-*.data/scripts/uv")
        program.chmod(0o755)
        build(UV.layout(places), program.parent, 'COPY uv /uv\nENTRYPOINT ["/uv"]', log)


def make_pause(places: Places, log: Path) -> None:
    """The image of every pod's sandbox; its program was built with Kubernetes."""
    programs = kubernetes.built(places)
    assert programs is not None
    build(PAUSE.layout(places), programs, 'COPY pause /pause\nENTRYPOINT ["/pause"]\nUSER 65535', log)


def build(layout: Path, context: Path, lines: str, log: Path) -> None:
    """Build an OCI layout from files in `context` by the lines of a Containerfile; the same files give the same bytes.

    The layers are compressed already: the registry gets the very bytes, and so the digest that the layout has.
    """
    layout.parent.mkdir(parents=True, exist_ok=True)
    recipe = layout.with_name(f"{layout.name}.Containerfile")
    recipe.write_text(f"FROM scratch\n{lines}\n")
    with made_whole(layout) as made:
        fixed: list[str | Path] = ["--timestamp", FILE_TIME, "--identity-label=false", "--disable-compression=false"]
        run(["buildah", "build", *fixed, "--file", recipe, "--tag", f"oci:{made}", context], log=log)


def push(image: Image, places: Places, log: Path) -> None:
    """Bring `image` from the cache into the registry."""
    source, target = f"oci:{image.layout(places)}", f"docker://{image.reference}"
    run(["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", source, target], log=log)


def is_pushed(image: Image, places: Places) -> bool:
    """True if the registry's storage has the very image that is in the cache."""
    manifests = places.registry / "docker/registry/v2/repositories" / image.repository / "_manifests"
    pushed = manifests / "tags" / image.tag / "current" / "link"
    return image.is_made(places) and pushed.is_file() and pushed.read_text() == digest(image.layout(places))


def digest(layout: Path) -> str:
    """The digest of the image in an OCI layout, `sha256:…`."""
    return str(json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])
