"""The programs that build images: what each is called with. buildah and podman share most of it."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from podenv import process
from podenv.catalogue import reference
from podenv.catalogue.reference import ImageRef
from podenv.errors import BuilderNotFound, PodenvError, ProgramError, ProgramFailed
from podenv.image import registry

# 1980-01-01: times of files in an image are the same for all, and zip files know none before.
EPOCH = 315_532_800
EMULATOR = "Register an emulator (Debian: apt-get install qemu-user-static)"
_PROBE_TIMEOUT = 60.0  # seconds
Listener = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """One image to build, of ``environment``.

    ``context`` is a folder with all that is copied, ``secrets`` are files by their id, ``hidden`` is for no log.
    ``cache`` is a repository that layers are taken from, and brought to where it is to be filled.
    """

    environment: str
    target: ImageRef
    context: Path
    containerfile: Path
    base: ImageRef
    uv: ImageRef
    platform: str
    args: Mapping[str, str]
    secrets: Mapping[str, Path]
    hidden: Collection[str] = field(default=(), repr=False)
    from_scratch: bool = False
    cache: str = ""
    fills_cache: bool = False


class Builder(ABC):
    """A program that builds images, keeps them in a store of its own, pushes and runs them."""

    name: str
    compressions: tuple[str, ...] = ("gzip",)
    """What its pushes can compress layers by."""

    def __init__(self, plain_http: Collection[str] = ()) -> None:
        self._plain_http = plain_http

    @abstractmethod
    def check(self) -> None:
        """Return when it works here; raises `ProgramError`."""

    @abstractmethod
    def build(self, job: Job, tell: Listener) -> None:
        """Build the image into the store; ``tell`` gets each line that is said. Raises `ProgramFailed`."""

    @abstractmethod
    def push(self, ref: ImageRef, tell: Listener, *, compression: str = "gzip") -> None:
        """Bring the image from the store into its registry; the tag comes last. Raises `ProgramFailed`."""

    @abstractmethod
    def has(self, ref: ImageRef) -> bool:
        """Whether the image is in the store."""

    @abstractmethod
    def run(self, ref: ImageRef, argv: list[str], *, input: bytes, platform: str = "") -> str:
        """Run a program in the image, without network, as the image's own user; returns its stdout.

        ``platform`` is that of the image; empty where the builder is to choose. Raises `ProgramFailed`.
        """

    @abstractmethod
    def try_platform(self, base: ImageRef, platform: str) -> None:
        """Return where programs of ``platform``, as in ``base``, run here.

        Raises `ProgramFailed`, `BuilderNotFound`.
        """

    def _start(self, argv: list[str], tell: Listener, *, hidden: Collection[str] = ()) -> None:
        process.run(argv, on_line=tell, on_output=tell, secrets=hidden)

    def _answers(self, argv: list[str]) -> bool:
        try:
            process.run(argv)
        except ProgramFailed:
            return False
        return True

    def _common(self, job: Job) -> list[str]:
        """What all builders are called with alike."""
        words = ["--file", str(job.containerfile), "--platform", job.platform]
        args = {"BASE": str(job.base), "UV": str(job.uv), **job.args}
        words += [word for key, value in args.items() for word in ("--build-arg", f"{key}={value}")]
        words += [word for key, file in job.secrets.items() for word in ("--secret", f"id={key},src={file}")]
        return words + (["--no-cache"] if job.from_scratch else [])


class Docker(Builder):
    """docker with its BuildKit plugin."""

    name = "docker"

    def check(self) -> None:
        process.run(["docker", "buildx", "version"], timeout=_PROBE_TIMEOUT)
        process.run(["docker", "version", "--format", "{{.Server.Version}}"], timeout=_PROBE_TIMEOUT)

    def build(self, job: Job, tell: Listener) -> None:
        fixed = ["--tag", str(job.target), "--load", "--progress", "plain", "--provenance", "false"]
        fixed += ["--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}"]
        place = f"type=registry,ref={job.cache}:{job.environment}"
        taken = ["--cache-from", place] if job.cache else []
        # mode=max: the layer of the packages is not of the last stage.
        brought = ["--cache-to", f"{place},mode=max,ignore-error=true"] if job.cache and job.fills_cache else []
        common = [*self._common(job), str(job.context)]

        def build(cache: list[str]) -> None:
            self._start(["docker", "buildx", "build", *fixed, *cache, *common], tell, hidden=job.hidden)

        try:
            build([*taken, *brought])
        except ProgramFailed as error:
            if "Cache export is not supported" not in error.stderr:
                raise
            # The engine's own builder without the containerd image store says so before it builds (seen with 26.1).
            tell(f"its layers are not kept in {job.cache}: the chosen builder of docker buildx keeps none elsewhere")
            build(taken)

    def push(self, ref: ImageRef, tell: Listener, *, compression: str = "gzip") -> None:
        self._start(["docker", "image", "push", str(ref)], tell)

    def has(self, ref: ImageRef) -> bool:
        return self._answers(["docker", "image", "inspect", "--format", "{{.Id}}", str(ref)])

    def try_platform(self, base: ImageRef, platform: str) -> None:
        said = process.run(["docker", "buildx", "inspect", "--bootstrap"]).stdout
        known = {word.strip(" *,") for line in said.splitlines() if "Platforms:" in line for word in line.split()[1:]}
        if platform not in known:
            raise BuilderNotFound(f"its builder is one for {', '.join(sorted(known)) or 'no platform'}")

    def run(self, ref: ImageRef, argv: list[str], *, input: bytes, platform: str = "") -> str:
        return process.run(["docker", "run", *_contained(ref, argv, platform)], input=input).stdout


class _Containers(Builder):
    """What buildah and podman have in common.

    They take no layers from `Job.cache`: of a Containerfile with an ARG they fill it and find nothing (seen with 1.28).
    """

    compressions = ("gzip", "zstd")

    def _pull(self, ref: ImageRef, platform: str, tell: Listener) -> None:
        """One image at a time: in the build, --tls-verify=false would hold for every registry."""
        self._start([self.name, "pull", *self._tls(ref), "--platform", platform, str(ref)], tell)

    def _pulled(self, job: Job, tell: Listener) -> None:
        for needed in (job.base, job.uv):
            self._pull(needed, job.platform, tell)

    def _build(self, job: Job, options: list[str], tell: Listener) -> None:
        # --force-rm: without it a failed build leaves its containers behind.
        fixed = ["--pull=never", "--layers", "--force-rm", "--network", "host", "--timestamp", str(EPOCH)]
        words = [self.name, "build", *options, *fixed, *self._common(job), str(job.context)]
        try:
            self._start(words, tell, hidden=job.hidden)
        except ProgramFailed as error:
            if "image not known" not in error.stderr:
                raise
            # Gone since it was pulled: builds share a store with each other and with `buildah rmi` (seen with 1.28).
            self._pulled(job, tell)
            self._start(words, tell, hidden=job.hidden)

    def push(self, ref: ImageRef, tell: Listener, *, compression: str = "gzip") -> None:
        # Docker's own format of manifests knows gzip alone.
        chosen = [] if compression == "gzip" else ["--format", "oci", "--compression-format", compression]
        self._start([self.name, "push", *self._tls(ref), *chosen, str(ref)], tell)

    def _named(self, ref: ImageRef, platform: str) -> str:
        """``platform`` where a registry has several; by a variant (amd64/v2) a store finds nothing (1.28)."""
        return platform if ref.digest else ""

    def _tls(self, ref: ImageRef) -> list[str]:
        return ["--tls-verify=false"] if registry.is_plain(ref.host, self._plain_http) else []


class Podman(_Containers):
    """podman."""

    name = "podman"

    def check(self) -> None:
        process.run(["podman", "info", "--format", "{{.Version.Version}}"], timeout=_PROBE_TIMEOUT)

    def build(self, job: Job, tell: Listener) -> None:
        self._pulled(job, tell)
        self._build(job, ["--tag", str(job.target)], tell)

    def try_platform(self, base: ImageRef, platform: str) -> None:
        self._pull(base, platform, lambda _: None)
        words = ["--rm", "--pull", "never", "--network", "none", "--platform", platform, "--entrypoint", "/bin/sh"]
        process.run(["podman", "run", *self._tls(base), *words, str(base), "-c", ":"])

    def has(self, ref: ImageRef) -> bool:
        return self._answers(["podman", "image", "exists", str(ref)])

    def run(self, ref: ImageRef, argv: list[str], *, input: bytes, platform: str = "") -> str:
        words = ["podman", "run", *self._tls(ref), *_contained(ref, argv, self._named(ref, platform))]
        return process.run(words, input=input).stdout


class Buildah(_Containers):
    """buildah, isolated as well as the machine allows."""

    name = "buildah"

    def __init__(self, plain_http: Collection[str] = ()) -> None:
        super().__init__(plain_http)
        self._isolation: list[str] | None = None
        self._lock = threading.Lock()

    def check(self) -> None:
        process.run(["buildah", "info"], timeout=_PROBE_TIMEOUT)

    def build(self, job: Job, tell: Listener) -> None:
        self._pulled(job, tell)
        self._isolate(job.base, job.platform, tell)
        # It needs a name that stays, or buildah keeps no layer for the next build (seen with 1.28).
        kept = f"{reference.LOCAL}/podenv-layers:{job.environment}-{job.platform.replace('/', '-')}"
        made = job.context.parent / "layered"
        self._build(
            job, ["--tag", kept, "--iidfile", str(made), "--identity-label=false", *self._isolation_words()], tell
        )
        self._finish(job, made.read_text().removeprefix("sha256:"), tell)

    def _isolation_words(self) -> list[str]:
        return self._isolation or []

    def _finish(self, job: Job, layered: str, tell: Listener) -> None:
        """Name the image, without what it knows of this machine's store.

        Its history and annotations hold the names that this store has for its layers, and so another digest on another
        machine (seen with buildah 1.28; its own --omit-history in the first step would keep it from caching layers).
        """
        last = job.context.parent / "last"
        last.mkdir()
        (last / "Containerfile").write_text(f"FROM {layered}\n")
        about = {
            "org.opencontainers.image.base.name": job.base.name,
            "org.opencontainers.image.base.digest": job.base.digest,
        }
        words = [word for key, value in about.items() for word in ("--annotation", f"{key}={value}")]
        words += ["--pull=never", "--layers=false", "--omit-history", "--identity-label=false", "--force-rm"]
        words += ["--platform", job.platform, "--timestamp", str(EPOCH), "--tag", str(job.target)]
        self._start(["buildah", "build", *words, str(last)], tell)

    def try_platform(self, base: ImageRef, platform: str) -> None:
        self._run_once(self._container(base, platform), ["/bin/sh", "-c", ":"], b"")

    def has(self, ref: ImageRef) -> bool:
        return self._answers(["buildah", "inspect", "--type", "image", "--format", "{{.FromImageID}}", str(ref)])

    def run(self, ref: ImageRef, argv: list[str], *, input: bytes, platform: str = "") -> str:
        return self._run_once(self._container(ref, platform), argv, input)

    def _run_once(self, container: str, argv: list[str], input: bytes) -> str:
        """Run a program in a container that is gone afterwards, by the isolation that works here."""
        try:
            with self._lock:
                possible = _isolations() if self._isolation is None else [self._isolation]
            for isolation in possible[:-1]:
                with suppress(ProgramFailed):
                    return self._run(container, isolation, argv, input)
            return self._run(container, possible[-1], argv, input)
        finally:
            process.run(["buildah", "rm", container])

    def _run(self, container: str, isolation: list[str], argv: list[str], input: bytes) -> str:
        network = "host" if "chroot" in isolation else "none"  # chroot has no network of its own to take away
        words = ["buildah", "run", *isolation, "--network", network, container, "--", *argv]
        return process.run(words, input=input).stdout

    def _container(self, ref: ImageRef, platform: str = "") -> str:
        container = f"podenv-{uuid.uuid4().hex}"
        of = ["--platform", chosen] if (chosen := self._named(ref, platform)) else []
        if ref.digest:
            process.run(["buildah", "pull", *self._tls(ref), *of, str(ref)])
        process.run(["buildah", "from", "--pull=never", *of, "--name", container, str(ref)])
        return container

    def _isolate(self, ref: ImageRef, platform: str, tell: Listener) -> None:
        """Find out once, in an image that is there, which isolation starts a program here."""
        with self._lock:
            if self._isolation is not None:
                return
            container = self._container(ref, platform)
            try:
                self._isolation = next(filter(lambda words: self._starts(container, words, tell), _isolations()), None)
            finally:
                process.run(["buildah", "rm", container])
        if self._isolation is None:
            raise BuilderNotFound(
                "buildah can start no program in a container here, neither by runc or crun nor by chroot; "
                f"see why with `buildah from {ref}` and `buildah run`, or choose another builder with PODENV_BUILDER."
            )

    def _starts(self, container: str, isolation: list[str], tell: Listener) -> bool:
        try:
            process.run(["buildah", "run", *isolation, "--network", "host", container, "--", "/bin/sh", "-c", ":"])
        except ProgramFailed as error:
            last = error.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            tell(f"buildah {' '.join(isolation)} does not work here: {last[0]}")
            return False
        return True


def _contained(ref: ImageRef, argv: list[str], platform: str) -> list[str]:
    """What docker and podman run a program with, in a container that is gone afterwards."""
    words = ["--rm", "--interactive", "--network", "none", "--read-only", "--entrypoint", argv[0]]
    return [*words, *(["--platform", platform] if platform else []), str(ref), *argv[1:]]


def _isolations() -> list[list[str]]:
    """Those to try, the better one first. A user who is not root has a kind of their own."""
    if chosen := os.environ.get("BUILDAH_ISOLATION"):
        return [["--isolation", chosen, *(_runtime() if chosen != "chroot" else [])]]
    if os.geteuid() != 0:
        return [["--isolation", "rootless", *_runtime()], ["--isolation", "chroot"]]
    return [["--isolation", "oci", *_runtime()], ["--isolation", "chroot"]]


def _runtime() -> list[str]:
    """runc before crun, which refuses a hybrid layout of cgroups (seen with crun 1.8)."""
    return ["--runtime", "runc"] if shutil.which("runc") else []


KINDS: dict[str, type[Builder]] = {kind.name: kind for kind in (Docker, Buildah, Podman)}


def find(chosen: str = "", plain_http: Collection[str] = ()) -> Builder:
    """The builder that is ``chosen``, else the first of docker, buildah and podman that works.

    Raises `BuilderNotFound`, which says of each why it does not.
    """
    reasons = []
    for name in (chosen,) if chosen else KINDS:
        builder = KINDS[name](plain_http)
        if shutil.which(name) is None:
            reasons.append(f"{name} is not on PATH")
            continue
        try:
            builder.check()
        except ProgramError as error:
            reasons.append(reason(name, error))
        else:
            return builder
    what = "The chosen builder does not work here" if chosen else "No builder of images works here"
    raise BuilderNotFound(
        f"{what}: {'; '.join(reasons)}. Install buildah (Debian: apt-get install buildah), or start docker's engine; "
        "PODENV_BUILDER chooses one."
    )


def is_foreign(error: ProgramFailed) -> bool:
    """Whether the program that was to be started is one of another platform, without an emulator."""
    return "exec format error" in error.stderr.lower()


def reason(name: str, error: PodenvError) -> str:
    """Why a builder that is there does not work."""
    said = error.stderr.strip().splitlines() if isinstance(error, ProgramFailed) else [str(error)]
    return f"{name} is there but fails: {said[0].strip().rstrip('.') if said else 'it said nothing'}"
