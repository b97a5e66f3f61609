"""`run_in_env` on Kubernetes: one call as a pod, from a script, a notebook or the middle of a plain task.

Nothing here needs Airflow.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import Any

from kubernetes import config
from kubernetes.client import ApiClient, Configuration, CoreV1Api

from podenv.call import source
from podenv.call.outcome import value_of
from podenv.call.termination import ended_by_sigterm
from podenv.catalogue import names
from podenv.catalogue.environment import Catalogue
from podenv.catalogue.request import TaskRequest
from podenv.errors import CatalogueNotFound
from podenv.exchange import keys
from podenv.exchange.calls import VARIABLE, Exchange, plain_store
from podenv.pods import compose, template
from podenv.pods.client import KubernetesClient
from podenv.pods.compose import Identity
from podenv.pods.events import PodEvents
from podenv.pods.life import PodLife
from podenv.pods.request import PodRequest, Relaunches, Timeouts


@dataclass(frozen=True)
class Place:
    """Where and as whose a call runs: its namespace, labels of its pod, whether the Call travels in a Secret.

    ``code``: folders with modules that travel, as ``[podenv] code`` says. ``exchange`` takes what is too much for XCom.
    ``trace`` is that of `compose.pod`.
    """

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    secret: bool = False
    code: str = ""
    exchange: Exchange | None = None
    trace: Mapping[str, str] = field(default_factory=dict)


def call(
    client: KubernetesClient,
    place: Place,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    events: PodEvents,
) -> Any:
    """The value of ``function(*args, **kwargs)`` in a pod of the client's environment. Raises a `PodenvError`.

    SIGTERM in the main thread deletes the pod.
    """
    name = client.environment
    found = template.read(client, place.namespace)
    labels = {**place.labels, names.ENVIRONMENT_LABEL: name}
    made, exchange = source.build_call(function, args, kwargs, python=found.python, code=place.code), place.exchange
    pod = compose.pod(
        found,
        made,
        [],
        request=TaskRequest(env=name),
        identity=Identity(f"{name[: names.MAX_POD_NAME_CHARACTERS - 14]}-call-{token_hex(4)}", labels),
        where=f"run_in_env({name!r})",
        ticket=None if exchange is None else exchange.ticket(made),
        trace=place.trace,
    )
    pod, secret = compose.split_secret(pod) if place.secret else (pod, {})
    relaunches = Relaunches.of(retries=0, task=None, environment=found.relaunch)
    timeouts = Timeouts.of({}, found.timeouts)
    request = PodRequest(name, pod, timeouts, secret=secret, relaunches=relaunches, pool=found.pool)
    if exchange is not None:
        request = replace(request, renewed=lambda: compose.ticket_variables(exchange.ticket(made)))
    events.note(f"Environment {name!r} ({found.facts}), {request.facts}.")
    life = PodLife(client, events)
    with ended_by_sigterm(life.kill):
        value = value_of(life.run(request), name)
        return value if exchange is None else exchange.found(value)


def run_in_env(name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """`podenv.run_in_env` on Kubernetes where there is no Airflow: what the function prints goes to stdout.

    The cluster is that of the context of the kubeconfig (``KUBECONFIG``) that the values name, else of the current one,
    else the one that this process runs in.
    """
    names.check_environment_name(name)
    environment = None
    with suppress(CatalogueNotFound):
        environment = Catalogue.of_function(function)[name]
    client = KubernetesClient(name, _Clients("" if environment is None else environment.spec.cluster.context))
    prefix = names.namespace_prefix()
    namespace = names.namespace(name, prefix) if environment is None else environment.namespace(prefix)
    address = os.environ.get(VARIABLE)
    exchange = Exchange(plain_store(address), keys.of_call(function)) if address else None
    place = Place(namespace, exchange=exchange)
    return call(client, place, function, args, kwargs, events=_Printed())


class _Clients:
    """Makes the generated client once, for a context where one is named; threads share it."""

    def __init__(self, context: str) -> None:
        self._context = context
        self._made: CoreV1Api | None = None

    def __call__(self) -> CoreV1Api:
        if self._made is None:
            settings = Configuration()
            if self._context:
                config.load_kube_config(context=self._context, client_configuration=settings)
            else:
                config.load_config(client_configuration=settings)
            self._made = CoreV1Api(ApiClient(settings))
        return self._made


class _Printed(PodEvents):
    def line(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
