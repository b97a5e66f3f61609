"""What tasks as pods need: builder, registry, helm, the cluster, rights in it, releases, Airflow's own pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from podenv import image, process
from podenv.catalogue import names, values
from podenv.catalogue.reference import LOCAL, ImageRef
from podenv.doctor.finding import CheckFailed, NotHere, State
from podenv.doctor.subject import Subject
from podenv.errors import AccessRefused
from podenv.image import builder
from podenv.release import chart, helm, rights
from podenv.release.cluster import Cluster, Json
from podenv.release.pool import keeps_deployment
from podenv.release.rights import Rights
from podenv.release.state import State as ReleaseState

_OWN = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_OTHERS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_PARALLEL_REQUESTS = 8
_Right = tuple[str, str, str]  # group, resource, verb
_SHOWN_REFUSALS = 4  # in a message


def builders(subject: Subject) -> tuple[State, str]:
    """A program that builds images."""
    subject.for_pods()
    own = [one for one in subject.environments if not one.spec.image.external]
    if subject.environments and not own:
        raise NotHere("all images are built elsewhere")
    kinds = {(chosen.builder, chosen.plain_http) for chosen in subject.settings.values()} or {("", ())}
    return State.OK, ", ".join(sorted({builder.find(*kind).name for kind in kinds}))


def registry(subject: Subject) -> tuple[State, str]:
    """The registry of each environment takes a push; an upload is begun and cancelled."""
    subject.for_pods()
    refs: dict[str, tuple[ImageRef, image.ImageSettings]] = {}
    for one in subject.environments:
        chosen = subject.settings.get(one.name)
        if chosen is not None and not one.spec.image.external:
            refs.setdefault(chosen.registry, (ImageRef(chosen.registry, chosen.repository, tag="latest"), chosen))
    if not refs:
        raise NotHere("no image is pushed from here")
    if LOCAL in refs:
        raise CheckFailed(
            "There is no registry to push to; set image.registry in envs/defaults.yaml, or PODENV_REGISTRY."
        )
    for ref, chosen in refs.values():
        subject.registries(chosen).check_push(ref)
    return State.OK, f"{', '.join(refs)} takes a push"


def helm_program(subject: Subject) -> tuple[State, str]:
    """The helm program."""
    subject.for_pods()
    found = helm.find()
    said = process.run([found, "version", "--template", "{{ .Version }}"], timeout=10.0).stdout.strip()
    return State.OK, f"helm {said} ({found})"


def cluster(subject: Subject) -> tuple[State, str]:
    """The API server answers."""
    subject.for_pods()
    said = subject.version()
    return State.OK, f"Kubernetes {said.get('gitVersion', '?').lstrip('v')} at {subject.cluster().server}"


def own_rights(subject: Subject) -> tuple[State, str]:
    """What `podenv deploy` needs, asked of the API server for oneself."""
    asked = subject.cluster()
    places = sorted(set(subject.places.values()))
    keeper = rights.DEPLOYMENT if keeps_deployment(subject.version()["gitVersion"]) else rights.JOB
    wanted: dict[_Right, set[str]] = {right: set() for right in _each(rights.DEPLOY, rights.LAUNCH)}
    for one in subject.inhabitants:
        for right in _each(rights.needed(one, keeper)):
            wanted.setdefault(right, set()).add(subject.places[one.name])

    def denied(right: _Right) -> list[str] | None:
        """The namespaces in which it is refused; None where it is given for all."""
        if _may_i(asked, right, ""):
            return None
        return [place for place in sorted(wanted[right]) if not _may_i(asked, right, place)]

    refused: dict[str, list[str]] = {}
    with ThreadPoolExecutor(_PARALLEL_REQUESTS) as pool:
        for (_, resource, verb), where in zip(wanted, pool.map(denied, wanted), strict=True):
            if where or (where is not None and not places):
                refused.setdefault(f"{resource} in {', '.join(where) or 'all namespaces'}", []).append(verb)
    if _missing(asked, places) and not _may_i(asked, ("", "namespaces", "create"), ""):
        refused["namespaces"] = ["create"]
    if refused:
        raise CheckFailed(
            f"you may not {_few(_by_object(refused))}; ask the cluster's administrator (`podenv rights` prints what a "
            "deploy needs), or choose another --context."
        )
    return State.OK, "you may deploy" + (f" to {', '.join(places)}" if len(places) == 1 else "")


def _missing(asked: Cluster, places: list[str]) -> list[str]:
    """The namespaces that a deploy would make; one that may not be looked at counts as there."""
    missing = []
    for place in places:
        with suppress(AccessRefused):
            if asked.get(f"/api/v1/namespaces/{place}") is None:
                missing.append(place)
    return missing


@dataclass(frozen=True)
class _Launcher:
    """Somebody whom `access` of the values names."""

    user: str
    groups: tuple[str, ...]
    description: str


def airflow_rights(subject: Subject) -> tuple[State, str]:
    """What the releases give to those whom `access` names, asked of the API server for them."""
    asked = subject.cluster()
    deployed = {name for name, state in _states(subject).items() if state.deployed is not None}
    named = {one.name: list(_launchers(one.spec.access)) for one in subject.inhabitants}
    if not any(named.values()):
        return State.WARNING, (
            "`access` names no service account. That is right if Airflow has rights of its own; else name its "
            "service accounts in envs/defaults.yaml, `access: {serviceAccounts: [{name: NAME, namespace: NAMESPACE}]}`"
        )
    questions = [
        (who, right, subject.places[one.name])
        for one in subject.inhabitants
        for who in (named[one.name] if one.name in deployed else ())
        for right in _each(
            rights.LAUNCH,
            rights.SECRETS if one.spec.access.secrets else {},
            rights.ATTACH if one.spec.warm.is_asked_for else {},
        )
    ]
    refused: dict[str, list[str]] = {}
    with ThreadPoolExecutor(_PARALLEL_REQUESTS) as pool:
        answers = pool.map(lambda question: _may(asked, *question), questions)
        for (who, (_, resource, verb), place), allowed in zip(questions, answers, strict=True):
            if not allowed:
                refused.setdefault(f"{resource} in {place} by {who.description}", []).append(verb)
    if refused:
        raise CheckFailed(
            f"refused: {_few(_by_object(refused))}; run `podenv deploy`, and check the names in `access`."
        )
    everybody = sorted({who.description for name in deployed for who in named[name]})
    if not everybody:
        raise NotHere("no environment is deployed yet")
    return State.OK, f"{', '.join(everybody)} may launch pods"


def releases(subject: Subject) -> tuple[State, str]:
    """What is deployed, and by which version of the chart."""
    subject.cluster()
    states = _states(subject)
    if not states:
        raise NotHere("there is no environment")
    missing = [name for name, state in states.items() if state.deployed is None]
    own = values.read(chart.folder() / "Chart.yaml")["version"]
    others = {
        name: state.deployed.chart.removeprefix(f"{chart.NAME}-")
        for name, state in states.items()
        if state.deployed is not None and state.deployed.is_of_podenv
    }
    old = [f"{name} ({theirs})" for name, theirs in others.items() if theirs != own]
    texts = [f"{len(others)} of {len(states)} deployed, chart {own}, podenv {version('podenv')}"]
    if old:
        texts.append(f"with another chart: {', '.join(old)}: run `podenv deploy`")
    if missing:
        texts.append(f"not deployed: {', '.join(missing)}: run `podenv up`")
    return State.WARNING if old or missing else State.OK, "; ".join(texts)


def _states(subject: Subject) -> dict[str, ReleaseState]:
    try:
        return subject.states()
    except AccessRefused:
        raise NotHere("you may not read the releases") from None


def airflow_pods(subject: Subject) -> tuple[State, str]:
    """How Airflow's own pods are set: the variables of those that run as the service accounts in `access`."""
    asked = subject.cluster()
    accounts = {(one.namespace, one.name) for env in subject.inhabitants for one in env.spec.access.service_accounts}
    if not accounts:
        raise NotHere("`access` names no service account")
    try:
        pods = [
            pod
            for place in sorted({place for place, _ in accounts})
            for pod in asked.list("v1", "Pod", namespace=place)
        ]
    except AccessRefused:
        raise NotHere("you may not look at Airflow's pods") from None
    own = [pod for pod in pods if (pod["metadata"]["namespace"], pod["spec"].get("serviceAccountName")) in accounts]
    if not own:
        raise NotHere(f"no pod runs as {', '.join(f'{place}/{name}' for place, name in sorted(accounts))}")
    wrong = sorted({text for pod in own for text in _unfit(pod, subject.target.prefix)})
    if wrong:
        return State.WARNING, "; ".join(wrong)
    folders = sorted({folder for pod in own if (folder := _variables(pod).get("catalogue"))})
    return State.OK, f"{len(own)} pods of Airflow; catalogue: {', '.join(folders) or 'envs/ beside the DAGs, if any'}"


def _unfit(pod: Json, prefix: str) -> Iterator[str]:
    found = _variables(pod)
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    if (theirs := found.get("namespace_prefix", names.NAMESPACE_PREFIX)) != prefix:
        yield (
            f"{name} looks for environments in {theirs}..., the command line in {prefix}...: set [podenv] "
            "namespace_prefix and --namespace-prefix alike"
        )
    if found.get("backend") == "local":
        yield f"{name} runs tasks in itself: unset PODENV_BACKEND and [podenv] backend there"


def _variables(pod: Json) -> dict[str, str]:
    """podenv's settings by their names in Airflow's section, as the pod's containers set them."""
    found = {}
    for start in ("AIRFLOW__PODENV__", "PODENV_"):  # the latter go before the former
        for container in pod["spec"].get("containers") or ():
            for one in container.get("env") or ():
                key = str(one.get("name", ""))
                if key.startswith(start) and one.get("value") is not None:
                    found[key.removeprefix(start).lower()] = str(one["value"])
    return found


def _launchers(access: Any) -> Iterator[_Launcher]:
    for one in access.service_accounts:
        user = f"system:serviceaccount:{one.namespace}:{one.name}"
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{one.namespace}", "system:authenticated")
        yield _Launcher(user, groups, f"{one.namespace}/{one.name}")
    for user in access.users:
        yield _Launcher(user, ("system:authenticated",), user)
    for group in access.groups:
        yield _Launcher("podenv-doctor", (group, "system:authenticated"), f"group {group}")


def _each(*several: Rights) -> Iterator[_Right]:
    for one in several:
        for (group, resource), verbs in one.items():
            for verb in verbs:
                yield group, resource, verb


def _may_i(asked: Cluster, right: _Right, namespace: str) -> bool:
    body = {"spec": {"resourceAttributes": _attributes(right, namespace)}}
    return _allowed(asked.create(_OWN, _review("SelfSubjectAccessReview", body)))


def _may(asked: Cluster, who: _Launcher, right: _Right, namespace: str) -> bool:
    attributes = _attributes(right, namespace)
    body = {"spec": {"user": who.user, "groups": list(who.groups), "resourceAttributes": attributes}}
    try:
        return _allowed(asked.create(_OTHERS, _review("SubjectAccessReview", body)))
    except AccessRefused:
        _, resource, verb = right
        raise NotHere(
            f"you may not ask for others; try `kubectl auth can-i {verb} {resource} --as {who.user}`"
        ) from None


def _review(kind: str, body: Json) -> Json:
    return {"apiVersion": "authorization.k8s.io/v1", "kind": kind, **body}


def _attributes(right: _Right, namespace: str) -> Json:
    group, whole, verb = right
    resource, _, subresource = whole.partition("/")
    return {"group": group, "resource": resource, "subresource": subresource, "verb": verb, "namespace": namespace}


def _allowed(answer: Json) -> bool:
    return bool((answer.get("status") or {}).get("allowed"))


def _by_object(refused: Mapping[str, list[str]]) -> list[str]:
    return [f"{', '.join(dict.fromkeys(verbs))} {what}" for what, verbs in refused.items()]


def _few(texts: list[str]) -> str:
    more = f" and {len(texts) - _SHOWN_REFUSALS} more" if len(texts) > _SHOWN_REFUSALS else ""
    return "; ".join(texts[:_SHOWN_REFUSALS]) + more
