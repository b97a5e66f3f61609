"""Environments that Helm keeps no record of: Argo CD, Flux or `kubectl apply` applied their objects.

All is read from the objects. Who applied them: the marks that GitOps tools leave, else the field manager. As what:
kubectl's annotation of the last apply (Argo CD writes it too), else the fields that a server-side apply owns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from podenv.catalogue import names
from podenv.release import manifest, ownership
from podenv.release.cluster import Cluster, Json
from podenv.release.diff import Change, between

_TEMPLATE = ("v1", "PodTemplate")
# What the chart renders beside it.
_KINDS = (
    ("v1", "ServiceAccount"), ("rbac.authorization.k8s.io/v1", "Role"), ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("v1", "LimitRange"), ("v1", "ResourceQuota"), ("networking.k8s.io/v1", "NetworkPolicy"), ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"), ("batch/v1", "Job"),
)  # fmt: skip
_HELM = "meta.helm.sh/release-name"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/
_ARGO_CD = "argocd.argoproj.io/tracking-id"
_FLUX = {"kustomize.toolkit.fluxcd.io": "Kustomization", "helm.toolkit.fluxcd.io": "HelmRelease"}
_MANAGERS = {"argocd-controller": "Argo CD", "kustomize-controller": "Flux", "helm-controller": "Flux"}
# What these tools, and Helm where they render the chart with it, write beside what was rendered.
_MARKS = ("argocd.argoproj.io/", "meta.helm.sh/", "app.kubernetes.io/instance", "app.kubernetes.io/managed-by")


@dataclass(frozen=True)
class Owner:
    """Who applies an environment: ``tool``, and its object that does so, like ``Application etl``; empty if unknown."""

    tool: str
    source: str = ""

    def __str__(self) -> str:
        return f"{self.tool} ({self.source})" if self.source else self.tool


@dataclass(frozen=True)
class Applied:
    """The objects of one environment as they are in the cluster; its PodTemplate is the first."""

    live: tuple[Json, ...]

    @property
    def owner(self) -> Owner:
        """Who applies them."""
        return _owner(self.live[0])

    @property
    def digest(self) -> str:
        """The digest of the image; empty if the PodTemplate names a tag instead."""
        return self._annotation(names.DIGEST_ANNOTATION)

    @property
    def lock(self) -> str:
        """The hash of the lock that the image was made from; empty if it is not recorded."""
        return self._annotation(names.LOCK_ANNOTATION)

    @property
    def inputs(self) -> str:
        """The hash of the values that the objects were rendered from; empty for a chart that did not write it."""
        return self._annotation(names.INPUTS_ANNOTATION)

    @property
    def since(self) -> str:
        """When the PodTemplate was last applied with a change."""
        managers = ownership.Owners(self.live[0]).release
        entries = self.live[0]["metadata"].get("managedFields") or ()
        return max((one["time"] for one in entries if one.get("manager") in managers and "time" in one), default="")

    def objects(self, rendered: Iterable[Json] = ()) -> list[Json]:
        """The objects as they were applied; one that means the same as a rendered one is that one.

        So is one of which nothing says as what it was applied (`kubectl create`, `kubectl replace`).
        """
        wanted = {manifest.identity(item): item for item in rendered}
        return [_as_applied(item, wanted.get(manifest.identity(item))) for item in self.live]

    def changes(self, rendered: Iterable[Json]) -> list[Change]:
        """What applying the rendered objects would change, beside what was applied."""
        rendered = list(rendered)
        return between([plain(one) for one in self.objects(rendered)], [plain(one) for one in rendered])

    def is_of(self, rendered: Iterable[Json]) -> bool:
        """True if the objects were rendered from the same values as these."""
        return any(self.inputs and self.inputs == _annotations(item).get(names.INPUTS_ANNOTATION) for item in rendered)

    def _annotation(self, name: str) -> str:
        return str(_annotations(self.live[0]).get(name, ""))


def look(cluster: Cluster, name: str, namespace: str) -> Applied | None:
    """The PodTemplate of an environment that Helm has no record of, alone; None if there is none."""
    found = cluster.get(cluster.path(*_TEMPLATE, namespace, name))
    return Applied((found,)) if found is not None and _counts(found) else None


def survey(cluster: Cluster, places: Mapping[str, str]) -> dict[str, Applied]:
    """Those of the environments in ``places`` (name -> namespace) that were applied; Helm has no record of any."""
    if not places:
        return {}
    templates = {
        name: item
        for item in cluster.list_in(*_TEMPLATE, set(places.values()), labels=names.ENVIRONMENT_LABEL)
        if (name := item["metadata"]["name"]) in places and _is_of(item, name, places[name]) and _counts(item)
    }
    namespaces = {places[name] for name in templates}
    others: list[Json] = []
    if templates:
        with ThreadPoolExecutor(len(_KINDS), thread_name_prefix="podenv-applied") as pool:
            for items in pool.map(lambda kind: _list(cluster, kind, namespaces), _KINDS):
                others += items
    return {
        name: Applied((template, *(one for one in others if _is_of(one, name, places[name]))))
        for name, template in templates.items()
    }


def plain(item: Json) -> Json:
    """An object without what tools write beside what was rendered."""
    found = dict(item)
    if isinstance(metadata := item.get("metadata"), dict):
        found["metadata"] = {
            key: {one: text for one, text in (value or {}).items() if not _is_mark(one)}
            if key in ("labels", "annotations")
            else value
            for key, value in metadata.items()
            if key != "namespace"  # rendered or not, it is the same
        }
    return found | {key: plain(item[key]) for key in ("template", "spec") if isinstance(item.get(key), dict)}


def _list(cluster: Cluster, kind: tuple[str, str], namespaces: set[str]) -> list[Json]:
    return cluster.list_in(*kind, namespaces, labels=names.ENVIRONMENT_LABEL)


def _is_of(item: Json, name: str, namespace: str) -> bool:
    label = item["metadata"]["labels"][names.ENVIRONMENT_LABEL]
    return bool(label == name and item["metadata"]["namespace"] == namespace)


def _counts(template: Json) -> bool:
    """True unless Helm made it. Where Flux does, the record may be in another namespace."""
    labels = template["metadata"].get("labels") or {}
    by_flux = any(f"{group}/name" in labels for group in _FLUX)
    return names.ENVIRONMENT_LABEL in labels and (by_flux or _HELM not in _annotations(template))


def _annotations(item: Json) -> dict[str, Any]:
    return item["metadata"].get("annotations") or {}


def _owner(template: Json) -> Owner:
    labels = template["metadata"].get("labels") or {}
    for group, kind in _FLUX.items():
        if name := labels.get(f"{group}/name"):
            return Owner("Flux", f"{kind} {labels.get(f'{group}/namespace', '')}/{name}")
    if tracked := _annotations(template).get(_ARGO_CD):
        return Owner("Argo CD", f"Application {tracked.partition(':')[0]}")
    managers = sorted(ownership.Owners(template).release)
    known = next((_MANAGERS[one] for one in managers if one in _MANAGERS), "")
    by_kubectl = all(one.startswith("kubectl") for one in managers)
    return Owner(known or ("kubectl" if by_kubectl else ", ".join(managers)))


def _is_mark(key: str) -> bool:
    return key.startswith(_MARKS) or key == _LAST_APPLIED or key.partition("/")[0] in _FLUX


def _as_applied(live: Json, rendered: Json | None) -> Json:
    text = _annotations(live).get(_LAST_APPLIED)
    sent = json.loads(text) if text else ownership.sent(live)
    if sent is None:
        return rendered or live
    sent, like = plain(sent), rendered and plain(rendered)
    if like is None:
        return sent
    ours, theirs = _completed(like), _completed(sent)
    same = not any(manifest.changes(ours, theirs)) and not any(manifest.changes(theirs, ours))
    return rendered if rendered and same else sent


def _completed(item: Json) -> Json:
    """A LimitRange with the defaults that Kubernetes fills in: its list has one owner, who then owns those too.

    https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/v1/defaults.go, SetDefaults_LimitRangeItem
    """
    if item["kind"] != "LimitRange":
        return item
    limits = []
    for one in item["spec"]["limits"]:
        if one["type"] == "Container":
            default = {**one.get("max", {}), **one.get("default", {})}
            request = {**one.get("min", {}), **default, **one.get("defaultRequest", {})}
            one = one | {key: value for key, value in (("default", default), ("defaultRequest", request)) if value}
        limits.append(one)
    return item | {"spec": {"limits": limits}}
