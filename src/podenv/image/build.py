"""Bring environments' images about: ask the registry, build what it lacks, push."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TextIO

from podenv import image, lock, process
from podenv.catalogue import reference
from podenv.catalogue.environment import DEFAULTS, Environment
from podenv.catalogue.reference import ImageRef
from podenv.errors import (
    BuilderNotFound,
    BuildFailed,
    ImageError,
    ImageMissing,
    ProgramError,
    ProgramFailed,
    SettingError,
)
from podenv.image import ImageSettings, attestations, base, builder, contexts, diagnosis, index, signature
from podenv.image.attestations import Made
from podenv.image.builder import Builder, Job
from podenv.image.registry import Registries
from podenv.lock import cache, indexes, platforms

Say = Callable[[str], None]
State = Literal["there", "pushed", "built", "external"]


@dataclass(frozen=True)
class Options:
    """What `Images.build` is asked for; ``refresh`` is ``rebuild`` that takes nothing from earlier builds."""

    push: bool = False
    rebuild: bool = False
    refresh: bool = False
    platform: str | None = None


@dataclass(frozen=True)
class Built:
    """What became of one image.

    ``state``: there (in the registry already), pushed, built (in the builder's store), external (made elsewhere).
    ``digest`` is None where no registry has it; ``log`` is None where nothing was built; ``lacking`` says what was left
    out.
    """

    environment: str
    ref: ImageRef
    digest: str | None
    state: State
    log: Path | None
    lacking: str = ""


class Images:
    """Builds images and asks for them; connections, the builder and digests are shared by all that use it at once."""

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or Options()
        self._registries: dict[tuple[str, ...], Registries] = {}
        self._builders: dict[tuple[str, tuple[str, ...]], Builder] = {}
        self._digests: dict[str, str] = {}
        self._lock = threading.Lock()
        self._cores = threading.Semaphore(os.cpu_count() or 1)

    def digest(self, environment: Environment) -> str | None:
        """The digest of the image that the environment needs now; None when the registry does not have it.

        Raises `LockError` where the lock is not fresh, `RegistryError` when it cannot be told.
        """
        ref = image.wanted(environment)
        return None if ref.is_local else self.registries(image.settings(environment)).digest(ref)

    def build(self, environment: Environment, *, say: Say = lambda _: None, warn: Say | None = None) -> Built:
        """Have the image of ``environment``; one that is there is not built again.

        ``warn`` gets what somebody without a terminal should know too. Raises `LockError`, `RegistryError` (also when
        it cannot be told whether it is there), `BuilderNotFound`, `BuildFailed`, `SettingError`.
        """
        if environment.spec.image.external:
            return self._external(environment)
        lock.check(environment)
        lock_hash = lock.lock_hash(environment)
        chosen = image.settings(environment, platform=self._options.platform)
        ref = image.image_ref(environment, lock_hash, chosen)
        if self._options.push and ref.is_local:
            raise SettingError(
                "There is no registry to push to; set image.registry in envs/defaults.yaml, or PODENV_REGISTRY."
            )
        if found := self._found(environment, ref, chosen, say):
            return found
        each = {one: image.image_ref(environment, lock_hash, one) for one in chosen.each()}
        there = {}
        if len(each) > 1:
            there = {one: self._found(environment, of_one, one, say) for one, of_one in each.items()}
        for one in each:  # before anything is built
            if not there.get(one):
                self._try_platform(environment, one, warn or say)
        built = [there.get(one) or self._one(environment, lock_hash, one, say) for one in each]
        return built[0] if len(each) == 1 else self._several(environment, ref, chosen, built, say)

    def _found(self, environment: Environment, ref: ImageRef, chosen: ImageSettings, say: Say) -> Built | None:
        """What the registry has already, unless all is to be built anew."""
        if self._options.rebuild or self._options.refresh or ref.is_local:
            return None
        say(f"asks {ref.host}")
        digest = self.registries(chosen).digest(ref)
        return Built(environment.name, ref, digest, "there", None) if digest else None

    def _several(
        self, environment: Environment, ref: ImageRef, chosen: ImageSettings, built: list[Built], say: Say
    ) -> Built:
        """Make one index of the images for ``chosen.platforms``, in their order."""
        log = next((one.log for one in built if one.log), None)
        if not self._options.push:
            return Built(environment.name, ref, None, "built", log, f"{len(built)} images; --push makes their index")
        say(f"pushes {ref}")
        images = {platform: one.ref.at(one.digest or "") for platform, one in zip(chosen.platforms, built, strict=True)}
        digest = index.push(self.registries(chosen), ref, images)
        return Built(environment.name, ref, digest, "pushed", log, _signed(environment, chosen, ref.at(digest), say))

    def _one(self, environment: Environment, lock_hash: str, chosen: ImageSettings, say: Say) -> Built:
        """Build the image for one platform."""
        options = self._options
        ref = image.image_ref(environment, lock_hash, chosen)
        anew = options.rebuild or options.refresh
        with self._cores:
            made = self.builder(chosen)
            if (compression := environment.spec.image.compression) not in made.compressions and options.push:
                raise SettingError(
                    f"image.compression of {environment.name!r} is {compression}, and {made.name} pushes "
                    f"{' and '.join(made.compressions)} only; build with buildah or podman (PODENV_BUILDER)."
                )
            log = log_file(environment, ref)
            facts = None
            if anew or not made.has(ref):
                facts = self._build(environment, lock_hash, chosen, made, say)
            if not options.push:
                return Built(environment.name, ref, None, "built", log)
            say(f"pushes {ref}")
            self._push(environment, ref, made, log)
        digest = self.registries(chosen).digest(ref)
        if digest is None:
            raise ImageMissing(f"{ref} was pushed, and {ref.host} says that it does not have it; push it again.")
        if environment.spec.image.attestations:
            say("attaches the bill of materials")
            registries = self.registries(chosen)
            attestations.attach(
                environment, ref.at(digest), chosen, facts, builder=made, registries=registries, local=ref
            )
        return Built(environment.name, ref, digest, "pushed", log, _signed(environment, chosen, ref.at(digest), say))

    def _try_platform(self, environment: Environment, chosen: ImageSettings, warn: Say) -> None:
        """Return where programs of the image's platform run here.

        Raises `ImageMissing` where the base image or uv's is not made for it, `BuilderNotFound`.
        """
        platform = chosen.platform
        machine = platform.split("/")[1]
        if machine == platforms.here().split("/")[1]:
            return
        made = self.builder(chosen)
        for text, what in ((chosen.uv, "image of uv"), (chosen.base, "base image")):
            ref = self._resolve(text, chosen, what)
            config = self.registries(chosen).config(ref, platform=platform)
            if config is None or config.get("architecture") != machine:
                raise ImageMissing(
                    f"The {what} {text} of {environment.name!r} is not made for {platform}; use another."
                )
        try:
            made.try_platform(ref, platform)
        except (ProgramFailed, BuilderNotFound) as error:
            foreign = isinstance(error, ProgramFailed) and builder.is_foreign(error)
            why = f"{made.name} starts no program of it" if foreign else builder.reason(made.name, error)
            raise BuilderNotFound(
                f"No image for {platform} can be built here: {why}. {builder.EMULATOR}, or build that one on such a "
                f"machine: `podenv build {environment.name} --platform {platform} --push`."
            ) from None
        warn(f"builds for {platform}, which is slow where it is emulated")

    def pin(self, environment: Environment, *, upgrade: bool = False) -> tuple[base.State, str]:
        """Pin the base image of ``environment``, as `base.pin` does; each registry is asked once for each image."""
        ref = image.base_to_pin(environment)
        plain = image.plain_http(environment)
        return base.pin(environment, ref, lambda ref: self._digest_now(ref, plain), upgrade=upgrade)

    def registries(self, chosen: ImageSettings) -> Registries:
        """What asks registries, for these settings."""
        return self._asking(chosen.plain_http)

    def _asking(self, plain_http: tuple[str, ...]) -> Registries:
        with self._lock:
            return self._registries.setdefault(plain_http, Registries(plain_http))

    def builder(self, chosen: ImageSettings) -> Builder:
        """The builder in force, found once; raises `BuilderNotFound`."""
        key = (chosen.builder, chosen.plain_http)
        with self._lock:
            if key not in self._builders:
                self._builders[key] = builder.find(*key)
            return self._builders[key]

    def _external(self, environment: Environment) -> Built:
        ref = image.external(environment)
        digest = self.registries(image.settings(environment)).digest(ref)
        if digest is None:
            raise ImageMissing(f"{ref} is not in its registry; environment {environment.name!r} names it as external.")
        return Built(environment.name, ref, digest, "external", None)

    def _build(self, environment: Environment, lock_hash: str, chosen: ImageSettings, made: Builder, say: Say) -> Made:
        ref = image.image_ref(environment, lock_hash, chosen)
        began, source = _now(), revision(environment)
        start = self._resolve(chosen.base, chosen, "base image")
        uv = self._resolve(chosen.uv, chosen, "image of uv")
        asked = indexes.for_build(environment, lock.required(environment, indexes.named(environment)))
        log = log_file(environment, ref)
        with tempfile.TemporaryDirectory(prefix="podenv-build-") as folder, _writing(log) as file:
            context = Path(folder, "context")
            labels = image.labels(environment, lock_hash, tag=ref.tag, base_digest=start.digest, revision=source)
            job = Job(
                environment=environment.name,
                target=ref,
                context=context,
                containerfile=contexts.lay_out(environment, context, labels, platform=chosen.platform, say=say),
                base=start,
                uv=uv,
                platform=chosen.platform,
                args={
                    "PYTHON": environment.python,
                    "SYSTEM_PACKAGES": " ".join(sorted(set(environment.spec.system_packages))),
                },
                secrets=contexts.secrets(Path(folder, "secrets"), asked),
                hidden=asked.secrets,
                from_scratch=self._options.refresh,
                cache=chosen.cache,
                fills_cache=self._options.push,
            )
            try:
                made.build(job, _teller(file, say))
            except ProgramFailed as error:
                raise BuildFailed(
                    environment.name, diagnosis.of_build(log.read_text(errors="replace"), error), log
                ) from None
        return Made(start, uv, source, began, _now())

    def _push(self, environment: Environment, ref: ImageRef, made: Builder, log: Path) -> None:
        with _writing(log, "a") as file:
            try:
                made.push(ref, _teller(file, lambda _: None), compression=environment.spec.image.compression)
            except ProgramFailed as error:
                raise diagnosis.of_push(ref, error) from None

    def _resolve(self, text: str, chosen: ImageSettings, what: str) -> ImageRef:
        """The image that ``text`` names, by the digest that it has now."""
        ref = reference.parse(text, setting=f"the {what}")
        if ref.digest:
            return ref.at(ref.digest)
        digest = self._digest_now(ref, chosen.plain_http)
        if digest is None:
            raise ImageMissing(
                f"The {what} {ref} is not in its registry; correct its name in the values or the variable."
            )
        return ref.at(digest)

    def _digest_now(self, ref: ImageRef, plain_http: tuple[str, ...]) -> str | None:
        """What a registry says that ``ref`` stands for, asked once."""
        with self._lock:
            known = self._digests.get(str(ref))
        digest = known or self._asking(plain_http).digest(ref)
        if digest is not None:
            with self._lock:
                self._digests[str(ref)] = digest
        return digest


def _signed(environment: Environment, chosen: ImageSettings, ref: ImageRef, say: Say) -> str:
    """Sign what was pushed where the values name who signs; returns what is lacking."""
    if not signature.is_wanted(environment):
        return ""
    say("signs")
    return "" if signature.sign(environment, ref, chosen) else "not signed: cosign is not on PATH"


def log_file(environment: Environment, ref: ImageRef) -> Path:
    """Where all that the builder says of this image is kept."""
    return cache.folder() / "logs" / "build" / f"{environment.name}-{ref.tag}.log"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def revision(environment: Environment) -> str:
    """The commit that last changed the environment; empty where there is none, or where it was changed since."""
    here = [environment.folder.name, DEFAULTS]
    git = ["git", "-C", str(environment.folder.parent)]
    try:
        if process.run([*git, "status", "--porcelain", "--", *here]).stdout.strip():
            return ""
        return process.run([*git, "log", "-1", "--format=%H", "--", *here]).stdout.strip()
    except ProgramError:
        return ""


@contextmanager
def _writing(log: Path, mode: Literal["w", "a"] = "w") -> Iterator[TextIO]:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open(mode)
    except OSError as error:
        raise ImageError(f"The build log {log} cannot be written: {error.strerror}; set PODENV_CACHE.") from None
    with file:
        yield file


def _teller(file: TextIO, say: Say) -> Say:
    """Each line goes into the log with its time; the ones that tell a person something are said."""
    began = time.monotonic()
    writing = threading.Lock()

    def tell(line: str) -> None:
        with writing, suppress(ValueError):  # closed already: an interruption
            file.write(f"{time.monotonic() - began:7.1f}  {line}\n")
            file.flush()
        if text := line.strip():
            say(text)

    return tell
