"""The images that everything else is built on: two Debians with a Python, uv, and pause; made once, then kept."""

import http.client
import json
from dataclasses import dataclass
from pathlib import Path

from devcluster import kubernetes, oci, packages, tools
from devcluster.errors import DevClusterError
from devcluster.places import Places, made_whole
from devcluster.programs import run

REGISTRY_HOST, REGISTRY_PORT = "127.0.0.1", 5000
REGISTRY = f"{REGISTRY_HOST}:{REGISTRY_PORT}"
# Files get this time at most, so that two runs give the same bytes: 2025-01-01.
NEWEST_FILE_TIME = 1_735_689_600
# What differs from run to run or from machine to machine: bytecode of Debian's own compiler, compiled with the time of
# the run in it, and two files of the host.
VARYING = ("/usr/share/python3/debpython/__pycache__", "/etc/hostname", "/etc/resolv.conf")
# To be counted up whenever one of the images below comes out differently, so that a cache of before is not used.
RECIPE = "recipe-2"
# A container reads neither manuals nor other languages.
EXCLUDED = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*")


@dataclass(frozen=True)
class Image:
    """An image of ours: `repository:tag` in the registry, a folder in the cache."""

    repository: str
    tag: str

    @property
    def reference(self) -> str:
        return f"{REGISTRY}/{self.repository}:{self.tag}"

    def layout(self, places: Places) -> Path:
        """Where the OCI layout is kept."""
        return places.images / RECIPE / f"{self.repository.replace('/', '-')}-{self.tag}"

    def is_made(self, places: Places) -> bool:
        return (self.layout(places) / "index.json").is_file()


BASES = {"bookworm": Image("podenv/base", "py3.11"), "trixie": Image("podenv/base", "py3.13")}
BASE_PATTERN = f"{REGISTRY}/podenv/base:py{{python}}"
UV = Image("podenv/uv", tools.UV_VERSION)
PAUSE = Image("podenv/pause", "1")
ALL = (*BASES.values(), UV, PAUSE)


def make_base(release: str, places: Places, log: Path) -> None:
    """Bootstrap a Debian `release` with its full python3 (bookworm: 3.11, trixie: 3.13); 36 to 39 s, 44 MB."""
    with made_whole(BASES[release].layout(places)) as folder:
        tar = folder / "root.tar"
        run(
            bootstrap_command(release, tar),
            log=log,
            env={"SOURCE_DATE_EPOCH": str(NEWEST_FILE_TIME), **packages.proxies()},
        )
        search_path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        oci.write_layout(
            folder, tar, {"Env": [search_path, "LANG=C.UTF-8"], "Cmd": ["python3"]}, epoch=NEWEST_FILE_TIME
        )
        tar.unlink()


def bootstrap_command(release: str, tar: Path) -> list[str]:
    """mmdebstrap's words for `release`, from this machine's own places for Debian."""
    include = ["python3", "ca-certificates"]
    hooks = []
    if release == "bookworm":
        # Without these, usrmerge and with it all of perl comes along.
        include.append("usr-is-merged")
        hooks = ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"]
    return [
        "mmdebstrap",
        "--variant=minbase",
        f"--include={','.join(include)}",
        *hooks,
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        "--aptopt=APT::Install-Recommends false",
        "--customize-hook=rm -rf " + " ".join(f'"$1{path}"' for path in VARYING),
        release,
        str(tar),
        *dict.fromkeys(source.line(release) for source in packages.machine_sources()),
    ]


def make_uv(places: Places, log: Path) -> None:
    """An image with /uv and nothing else, like the one that uv's authors publish."""
    with made_whole(UV.layout(places)) as folder:
        wheel = tools.download("uv", UV.tag, folder / "wheel", log, platform=tools.UV_PLATFORM)
        run(["python3", "-m", "zipfile", "--extract", wheel, folder / "wheel"])
        program = next((folder / "wheel").glob("uv-*.data/scripts/uv")).read_bytes()
        _of_programs(folder, {"uv": program}, {"Entrypoint": ["/uv"]})
        run(["rm", "-r", folder / "wheel"])


def make_pause(places: Places) -> None:
    """The image of every pod's sandbox."""
    programs = kubernetes.built(places)
    if programs is None:
        raise DevClusterError("pause is built with Kubernetes, which is not in the cache; run up again.")
    with made_whole(PAUSE.layout(places)) as folder:
        _of_programs(folder, {"pause": (programs / "pause").read_bytes()}, {"Entrypoint": ["/pause"], "User": "65535"})


def push(image: Image, places: Places, log: Path) -> None:
    """Bring `image` from the cache into the registry."""
    source, target = f"oci:{image.layout(places)}", f"docker://{image.reference}"
    run(["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", source, target], log=log)


def is_pushed(image: Image, places: Places) -> bool:
    """True if the registry has the very image that is in the cache."""
    return image.is_made(places) and registry_digest(image) == oci.digest(image.layout(places))


def registry_digest(image: Image) -> str | None:
    """The digest that the registry has under the image's tag; None when it has none or does not answer."""
    connection = http.client.HTTPConnection(REGISTRY_HOST, REGISTRY_PORT, timeout=5)
    try:
        connection.request("HEAD", f"/v2/{image.repository}/manifests/{image.tag}", headers={"Accept": oci.MANIFEST})
        answer = connection.getresponse()
        return answer.getheader("Docker-Content-Digest") if answer.status == 200 else None
    except OSError:
        return None
    finally:
        connection.close()


def registry_config(places: Places) -> str:
    """Configuration of Debian's docker-registry: on loopback, files below the state folder."""
    settings = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(places.registry)}, "delete": {"enabled": True}},
        "http": {"addr": REGISTRY, "secret": "one process, so nothing to share"},
    }
    return json.dumps(settings, indent=1)


def _of_programs(folder: Path, programs: dict[str, bytes], config: dict[str, object]) -> None:
    tar = folder / "root.tar"
    oci.tar_of(programs, tar)
    oci.write_layout(folder, tar, config)
    tar.unlink()
