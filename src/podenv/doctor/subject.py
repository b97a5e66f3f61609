"""What the checks look at, found once for all of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from podenv import image
from podenv.catalogue.environment import Catalogue, Environment
from podenv.catalogue.reference import LOCAL
from podenv.doctor.finding import NotHere
from podenv.errors import CatalogueNotFound, PodenvError
from podenv.image.registry import Registries
from podenv.release import Releases, Target
from podenv.release.cluster import Cluster, Json
from podenv.release.state import State as ReleaseState

NO_PODS = "no cluster and no registry are set up here; only tasks as pods need them"


@dataclass
class Subject:
    """A catalogue and a cluster; ``local``: only what tasks on this machine need is looked at."""

    target: Target = field(default_factory=Target)
    local: bool = False
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    here: str | None = None
    """The context that the environments name which are looked at; None: those that name none."""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _failure: PodenvError | None = None

    @cached_property
    def catalogue(self) -> Catalogue | None:
        """The catalogue in force; None where there is none."""
        try:
            return Catalogue.find()
        except CatalogueNotFound:
            return None

    @cached_property
    def environments(self) -> list[Environment]:
        """The environments that can be read; the check of the catalogue names the others."""
        found = []
        for name in self.catalogue.names() if self.catalogue else ():
            try:
                found.append(self.catalogue[name])  # type: ignore[index]  # there are names
            except PodenvError:
                continue
        return found

    @cached_property
    def inhabitants(self) -> list[Environment]:
        """Those of the environments that are in this cluster."""
        if self.here is None and self.target.context is not None:  # it was chosen for all
            return self.environments
        return [one for one in self.environments if one.spec.cluster.context == (self.here or "")]

    def clusters(self) -> list[Subject]:
        """The same for each cluster of the environments; where they name none, for the current one."""
        if self.target.context is not None:
            return [self]
        named = sorted({one.spec.cluster.context for one in self.environments} - {""})
        others = [Subject(replace(self.target, context=one), self.local, self.environ, one) for one in named]
        return [self, *others] if self.inhabitants or not others else others

    @cached_property
    def places(self) -> dict[str, str]:
        """Name of an environment -> its namespace."""
        return Releases(self.target).places(self.inhabitants)

    @cached_property
    def settings(self) -> dict[str, image.ImageSettings]:
        """Name of an environment -> how its image is made; those whose settings are wrong are left out."""
        found = {}
        for one in self.environments:
            try:
                found[one.name] = image.settings(one)
            except PodenvError:
                continue
        return found

    def for_pods(self) -> None:
        """Return where this project uses pods; raises `NotHere`."""
        if self.local:
            raise NotHere("not looked at: --local")
        if not self.uses_pods:
            raise NotHere(NO_PODS)

    def cluster(self) -> Cluster:
        """The cluster, once it has answered. Raises `NotHere`: the check of the cluster says what is wrong."""
        self.for_pods()
        try:
            self.version()
        except PodenvError:
            raise NotHere("the cluster cannot be asked") from None
        return self._cluster

    def version(self) -> Json:
        """What the API server says of itself. Raises `NoCluster`, `AccessRefused`."""
        with self._lock:
            if self._failure is not None:  # one check has waited for it; the others need not
                raise self._failure
            try:
                return self._version
            except PodenvError as error:
                self._failure = error
                raise

    def states(self) -> dict[str, ReleaseState]:
        """The releases of all environments. Raises what `Releases.survey` does."""
        with self._lock:
            return self._states

    @cached_property
    def _cluster(self) -> Cluster:
        return Cluster(self.target.kubeconfig, self.target.context)

    @cached_property
    def _version(self) -> Json:
        return self._cluster.get("/version") or {}

    @cached_property
    def _states(self) -> dict[str, ReleaseState]:
        return Releases(self.target).survey(self.places)

    def registries(self, chosen: image.ImageSettings) -> Registries:
        """What asks registries with these settings."""
        return Registries(chosen.plain_http)

    @property
    def uses_pods(self) -> bool:
        """True if a cluster or a registry is set up here."""
        return any(one.registry != LOCAL for one in self.settings.values()) or self._names_a_cluster()

    def _names_a_cluster(self) -> bool:
        named = self.target.kubeconfig or self.target.context or self.environ.get("KUBECONFIG")
        return bool(named or "KUBERNETES_SERVICE_HOST" in self.environ or Path("~/.kube/config").expanduser().exists())
