"""Debian's packages: installed, only unpacked, or as source; the machine's own configuration stays as it is."""

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from devcluster.errors import DevClusterError
from devcluster.places import made_whole
from devcluster.programs import run
from devcluster.progress import Progress

# Another apt may be at work: wait for it.
APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-o", "APT::Sandbox::User=root")
CODENAME = "bookworm"
SUITES = (CODENAME, f"{CODENAME}-updates", f"{CODENAME}-security")

RUNNING = ("iptables", "iproute2", "openssl", "curl", "skopeo", "buildah", "libseccomp2", "ca-certificates")
BUILDING_KUBERNETES = ("golang-1.19-go", "dpkg-dev", "jq", "make", "rsync")
BOOTSTRAPPING = ("mmdebstrap", "debian-archive-keyring")
# Unpacked, not installed: installing them starts services on the ports used here, and Docker's own packages conflict
# with Debian's containerd and runc.
UNPACKED = ("etcd-server", "docker-registry", "containerd", "runc", "containernetworking-plugins", "runit", "catatonit")


def provide(debian: Path, building: Sequence[str], log: Path, progress: Progress) -> None:
    """Install what runs here and what `building` names; unpack what is not to be installed into the folder `debian`."""
    listed = run(["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n"]).splitlines()
    absent = [package for package in dict.fromkeys([*RUNNING, *building]) if f"{package} installed" not in listed]
    unpacked = all((debian / "usr/share/doc" / package).exists() for package in UNPACKED)
    # An old index names files that are gone; and apt knows its places for Debian, which a build asks for, only by it.
    if absent or building or not unpacked:
        with progress.step("read Debian's package index"):
            run([*APT, "update"], log=log)
    if absent:
        with progress.step(f"install {', '.join(absent)}"):
            silent = {"DEBIAN_FRONTEND": "noninteractive"}
            run([*APT, "install", "--yes", "--no-install-recommends", *absent], log=log, env=silent)
    if not unpacked:
        what = f"unpack {', '.join(UNPACKED)} (not installed: no service starts)"
        with progress.step(what), made_whole(debian) as folder, tempfile.TemporaryDirectory() as downloads:
            run([*APT, "download", *UNPACKED], log=log, cwd=Path(downloads))
            for file in Path(downloads).glob("*.deb"):
                run(["dpkg-deb", "--extract", file, folder])


def fetch_source(package: str, folder: Path, log: Path) -> Path:
    """Fetch and unpack Debian's source package into `folder`; returns the source tree."""
    lists, sources = folder / "apt" / "lists", folder / "apt" / "sources.list"
    (lists / "partial").mkdir(parents=True)
    sources.write_text("".join(f"deb-src {place}\n" for place in machine_sources()))
    apart = [f"Dir::Etc::sourcelist={sources}", "Dir::Etc::sourceparts=-", f"Dir::State::lists={lists}"]
    # The machine's own index cache must not hear of the copy.
    apart += ["Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache="]
    apt = [*APT, *(word for option in apart for word in ("-o", option))]
    run([*apt, "update"], log=log)
    run([*apt, "source", package], log=log, cwd=folder)
    return next(path for path in folder.glob(f"{package}-*") if path.is_dir())


def proxies() -> dict[str, str]:
    """The variables that stand for the proxies in apt's configuration, for a program that does not read that."""
    asked = ("http_proxy", "Acquire::http::Proxy", "https_proxy", "Acquire::https::Proxy")
    pairs = (word.partition("=") for word in shlex.split(run(["apt-config", "shell", *asked])))
    return {name: value for name, _, value in pairs if value not in ("", "DIRECT")}


def machine_sources(release: str = CODENAME, options: Sequence[str] = ()) -> list[str]:
    """This machine's own places for Debian, as apt itself reads its lists: `http://… bookworm main contrib`.

    For another `release` bookworm-security becomes trixie-security. The caller has refreshed the index: apt tells of
    no place before. Raises DevClusterError when there is none. `options` are further words for apt.
    """
    fields = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    listed = run(["apt-get", *options, "indextargets", "--format", fields, "Created-By: Packages"])
    found: dict[tuple[str, str], list[str]] = {}
    for uri, suite, component in (line.split() for line in dict.fromkeys(listed.splitlines())):
        if suite in SUITES:
            found.setdefault((uri.rstrip("/"), suite.replace(CODENAME, release)), []).append(component)
    places = [" ".join([*place, *components]) for place, components in found.items() if "main" in components]
    if not places:
        raise DevClusterError(
            f"apt on this machine has no source for Debian's {CODENAME} with the component main; "
            "add one below /etc/apt/sources.list.d and run up again."
        )
    return places
