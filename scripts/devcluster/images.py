"""The images that everything else is built on: two Debians with a Python, uv, and pause; made once, then kept."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from devcluster import packages, tools
from devcluster.places import Places
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


BASES = {"bookworm": Image("podenv/base", "py3.11"), "trixie": Image("podenv/base", "py3.13")}
BASE_PATTERN = f"{REGISTRY}/podenv/base:py{{python}}"
UV = Image("podenv/uv", tools.UV_VERSION)
PAUSE = Image("podenv/pause", "catatonit")
ALL = (*BASES.values(), UV, PAUSE)


def make_base(release: str, layout: Path, log: Path) -> None:
    """Bootstrap a Debian `release` with its full python3 (bookworm: 3.11, trixie: 3.13); 50 s, 43 MB."""
    # Without usr-is-merged, usrmerge and with it all of perl comes along.
    merged = {"bookworm": (",usr-is-merged", ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"])}
    package, hooks = merged.get(release, ("", []))
    with tempfile.TemporaryDirectory(dir=layout) as folder:
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
            f"{folder}/root.tar",
            *(f"deb {place}" for place in packages.machine_sources(release)),
        ]
        run(command, log=log, env={"SOURCE_DATE_EPOCH": FILE_TIME, **packages.proxies()})
        build(layout, Path(folder), 'ADD root.tar /\nENV LANG=C.UTF-8\nCMD ["python3"]', log)


def make_uv(layout: Path, log: Path) -> None:
    """An image with /uv and nothing else, like the one that uv's authors publish."""
    with tempfile.TemporaryDirectory(dir=layout) as folder:
        wheel = tools.download("uv", UV.tag, Path(folder), log, platform=tools.UV_PLATFORM)
        run(["python3", "-m", "zipfile", "--extract", wheel, folder])
        (program,) = Path(folder).glob("uv-*.data/scripts/uv")
        program.chmod(0o755)
        build(layout, program.parent, 'COPY uv /uv\nENTRYPOINT ["/uv"]', log)


def make_pause(programs: Path, layout: Path, log: Path) -> None:
    """The image of every pod's sandbox: it holds the namespaces and does nothing."""
    build(layout, programs, 'COPY catatonit /pause\nENTRYPOINT ["/pause", "-P"]\nUSER 65535', log)


def build(layout: Path, context: Path, lines: str, log: Path) -> None:
    """Build an OCI layout from files in `context` by the lines of a Containerfile; the same files give the same bytes.

    The layers are compressed already: the registry gets the very bytes, and so the digest that the layout has.
    """
    recipe = layout / "Containerfile"
    recipe.write_text(f"FROM scratch\n{lines}\n")
    fixed: list[str | Path] = ["--timestamp", FILE_TIME, "--identity-label=false", "--disable-compression=false"]
    run(["buildah", "build", *fixed, "--file", recipe, "--tag", f"oci:{layout}", context], log=log)


def push(places: Places) -> None:
    """Bring each image that the registry lacks out of the cache into it."""
    for image in ALL:
        if not is_pushed(image, places):
            source, target = f"oci:{image.layout(places)}", f"docker://{image.reference}"
            run(["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", source, target])


def is_pushed(image: Image, places: Places) -> bool:
    """True if the registry's storage has the very image that is in the cache."""
    manifests = places.registry / "docker/registry/v2/repositories" / image.repository / "_manifests"
    pushed, layout = manifests / "tags" / image.tag / "current" / "link", image.layout(places)
    return layout.exists() and pushed.is_file() and pushed.read_text() == digest(layout)


def digest(layout: Path) -> str:
    """The digest of the image in an OCI layout, `sha256:…`."""
    return str(json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])
