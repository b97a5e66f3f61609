"""The rights by which a team deploys into a namespace that an administrator has made: which, and as objects. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from podenv.catalogue.environment import Environment
from podenv.release.cluster import Json
from podenv.release.rollout import namespace_object

Rights = dict[tuple[str, str], tuple[str, ...]]  # (group, resource): verbs
DEPLOYER = "podenv-deployer"  # the Role, and its binding
RBAC = "rbac.authorization.k8s.io"
_CHANGE = ("create", "get", "list", "patch", "delete")
# Helm's records are Secrets. A Role can be made only by who has its rights: hence those of Airflow too.
DEPLOY: Rights = {
    ("", "namespaces"): ("get",),
    ("", "secrets"): ("create", "get", "list", "update", "delete"),
    ("", "podtemplates"): _CHANGE,
    ("", "serviceaccounts"): _CHANGE,
    (RBAC, "roles"): _CHANGE,
    (RBAC, "rolebindings"): _CHANGE,
    ("coordination.k8s.io", "leases"): ("create", "get", "update", "delete"),
}
# What the chart's Role gives to Airflow; tests/unit/doctor compares the two.
LAUNCH: Rights = {
    ("", "podtemplates"): ("get",),
    ("", "pods"): ("create", "get", "list", "watch", "patch", "delete"),
    ("", "pods/log"): ("get",),
    ("", "events"): ("list",),
}
SECRETS: Rights = {("", "secrets"): ("create",)}
ATTACH: Rights = {("", "pods/attach"): ("create", "get")}  # where there are idle pods
DEPLOYMENT: Rights = {("apps", "deployments"): _CHANGE}
JOB: Rights = {("batch", "jobs"): _CHANGE}


def needed(environment: Environment, *keepers: Rights) -> Rights:
    """What deploy, status, test, rollback and uninstall of an environment need in its namespace.

    ``keepers`` keep the idle pods, where there are any: a Deployment or a Job, which the version of Kubernetes decides.
    What ``extraObjects`` need is not known, since the values name kinds and rights name resources.
    """
    spec = environment.spec
    parts = [DEPLOY, LAUNCH]
    if spec.warm.is_asked_for:
        parts += [ATTACH, *(keepers or (DEPLOYMENT, JOB))]
    if spec.pre_pull.enabled:
        parts.append({("apps", "daemonsets"): _CHANGE})
    if spec.network_policy.enabled:
        parts.append({("networking.k8s.io", "networkpolicies"): _CHANGE})
    if spec.resource_quota.hard or spec.limit_range.model_fields_set:
        parts.append({("", "resourcequotas"): _CHANGE, ("", "limitranges"): _CHANGE})
    return united(parts)


def united(parts: Sequence[Rights]) -> Rights:
    """All rights of several."""
    found: Rights = {}
    for part in parts:
        for key, verbs in part.items():
            found[key] = tuple(dict.fromkeys((*found.get(key, ()), *verbs)))
    return found


def preparation(places: Mapping[str, str], wanted: Mapping[str, Rights], subjects: Sequence[Json]) -> list[Json]:
    """What an administrator applies: for each namespace itself, a Role and its binding to ``subjects``.

    ``places``: name of an environment -> namespace, which several can share; ``wanted``: name -> rights.
    """
    made = []
    for namespace in dict.fromkeys(places.values()):
        rights = united([wanted[name] for name, place in places.items() if place == namespace])
        rules = [
            {"apiGroups": [group], "resources": [one], "verbs": list(verbs)} for (group, one), verbs in rights.items()
        ]
        metadata = {"name": DEPLOYER, "namespace": namespace}
        role = {"apiGroup": RBAC, "kind": "Role", "name": DEPLOYER}
        made += [
            namespace_object(namespace),
            {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": rules},
            {
                "apiVersion": f"{RBAC}/v1",
                "kind": "RoleBinding",
                "metadata": metadata,
                "roleRef": role,
                "subjects": list(subjects),
            },
        ]
    return made


def subject(kind: str, name: str, namespace: str = "") -> Json:
    """Whom a binding gives rights: a ServiceAccount of a namespace, a User or a Group."""
    if kind == "ServiceAccount":
        return {"kind": kind, "name": name, "namespace": namespace}
    return {"apiGroup": RBAC, "kind": kind, "name": name}
