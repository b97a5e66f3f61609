"""Where everything lies: what is kept between clusters (cache) and what belongs to one cluster (state)."""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devcluster.errors import DevClusterError


@dataclass(frozen=True)
class Places:
    """The two folders that the dev cluster writes to.

    `cache` holds what took long to make; removing it costs time only. `state` holds one cluster: keys, data, logs,
    services; `down` empties it, save for the registry's storage.
    """

    cache: Path
    state: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Places":
        """The places that `PODENV_DEV_CACHE`, `XDG_CACHE_HOME` and `PODENV_DEV_STATE` name, or their defaults."""
        user_cache = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".cache")
        cache = environ.get("PODENV_DEV_CACHE") or f"{user_cache}/podenv/dev-cluster"
        state = environ.get("PODENV_DEV_STATE") or "/var/lib/podenv-dev-cluster"
        for variable, folder in (("PODENV_DEV_CACHE", cache), ("PODENV_DEV_STATE", state)):
            # They stand unquoted in shell scripts and in the components' files.
            if not re.fullmatch(r"[\w./+-]+", folder):
                raise DevClusterError(
                    f"{variable}: {folder!r} has a character other than letters, digits and _ . / + -; "
                    f"set {variable} to another folder."
                )
        return cls(cache=Path(cache).absolute(), state=Path(state).absolute())

    @property
    def debian(self) -> Path:
        """Programs unpacked from Debian's packages, never installed: their services must not start."""
        return self.cache / "debian"

    @property
    def config(self) -> Path:
        return self.state / "config"

    @property
    def services(self) -> Path:
        """One folder a component, as runit wants them."""
        return self.state / "services"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def registry(self) -> Path:
        return self.state / "registry"

    def log(self, component: str) -> Path:
        return self.state / "logs" / f"{component}.log"


@contextmanager
def made_whole(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` when the block ends well; a block cut short leaves no target."""
    making = target.parent / f".making-{target.name}"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    yield making
    shutil.rmtree(target, ignore_errors=True)
    making.rename(target)
