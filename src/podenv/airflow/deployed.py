"""The catalogue that the cluster itself is, for an Airflow that gets its DAGs without ``envs/`` beside them.

``[podenv] catalogue = cluster``: names, namespaces, Pythons and default resources come from the PodTemplates that are
deployed. They are read once in a process, in one request. It is one cluster: of several, the one that is away would
make the names of all tasks unknown, and the same name in two of them would mean either.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from podenv.airflow import compat
from podenv.catalogue import names
from podenv.catalogue.automemory import AUTO
from podenv.catalogue.environment import Catalogue, Environment
from podenv.catalogue.spec import EnvironmentSpec, ResourcesSpec
from podenv.errors import PodenvError, UnknownEnvironment
from podenv.pods.client import Json, plain, words_of
from podenv.pods.manifest import base_container

WORD = "cluster"
READ_SECONDS = 5.0  # for which the parse of a DAG file waits, once in a process
RETRY_SECONDS = 60.0  # after which a long-lived process asks again a cluster that could not be read
_PLACE = "the cluster"
_log = logging.getLogger("airflow.task.podenv")


class DeployedCatalogue(Catalogue):
    """The environments that have a PodTemplate in the cluster."""

    def __init__(self, environments: Mapping[str, Environment]) -> None:
        super().__init__(Path(_PLACE))
        self._environments = dict(environments)

    def names(self) -> list[str]:
        return sorted(self._environments)

    def __contains__(self, name: object) -> bool:
        return name in self._environments

    def __getitem__(self, name: str) -> Environment:
        names.check_environment_name(name)
        if name not in self._environments:
            raise self.refusal(name)
        return self._environments[name]

    def refusal(self, name: str) -> PodenvError:
        remedy = (
            f"`podenv deploy {name}` deploys it. Airflow knows only what is in the cluster of the Connection "
            "kubernetes_default; for another cluster it needs a copy of envs/."
        )
        return UnknownEnvironment(name, _PLACE, self.names(), remedy=remedy)


class _Failure:
    """Why the cluster could not be read, and until when that is not tried again."""

    why = ""
    until = 0.0


def catalogue(prefix: str) -> DeployedCatalogue | str:
    """The catalogue; where the cluster cannot be read why, and names are then checked by their form only.

    Of environments of one name in several namespaces, the one whose namespace begins with ``prefix`` counts.
    """
    if time.monotonic() < _Failure.until:
        return _Failure.why
    try:
        return _read(prefix)
    except (ApiException, HTTPError) as error:
        why = words_of(error)
    except Exception as error:  # noqa: BLE001 - a Connection that is wrong must not make each DAG file unreadable
        why = plain(f"{type(error).__name__}: {error}")
    _Failure.why, _Failure.until = why, time.monotonic() + RETRY_SECONDS
    _log.warning(
        "[podenv] catalogue = cluster, and the cluster cannot be read (%s); environments are checked when their tasks "
        "run. Airflow needs `list` on podtemplates in all namespaces.",
        why,
    )
    return why


@lru_cache(maxsize=1)
def _read(prefix: str) -> DeployedCatalogue:
    answer = compat.kubernetes_client().list_pod_template_for_all_namespaces(
        label_selector=names.ENVIRONMENT_LABEL,
        _preload_content=False,
        _request_timeout=(READ_SECONDS, READ_SECONDS),
    )
    found: dict[str, Environment] = {}
    for template in json.loads(answer.data)["items"]:
        one = _environment(template)
        if one is not None and (one.name not in found or one.spec.namespace == names.namespace(one.name, prefix)):
            found[one.name] = one
    return DeployedCatalogue(found)


def _environment(template: Json) -> Environment | None:
    """What a PodTemplate says of its environment; None where podenv has not made it."""
    metadata = template["metadata"]
    try:
        resources = base_container(template["template"]).get("resources") or {}
    except KeyError:
        return None
    annotations = metadata.get("annotations") or {}
    requests, limits = dict(resources.get("requests") or {}), dict(resources.get("limits") or {})
    if names.FIRST_MEMORY_ANNOTATION in annotations:
        requests["memory"], limits["memory"] = annotations[names.FIRST_MEMORY_ANNOTATION], AUTO
    spec = EnvironmentSpec.model_construct(
        python=annotations.get(names.PYTHON_ANNOTATION, ""),
        namespace=metadata["namespace"],
        resources=ResourcesSpec.model_construct(
            requests=requests, limits=limits, max_memory=annotations.get(names.MAX_MEMORY_ANNOTATION)
        ),
    )
    return Environment(metadata["name"], Path(_PLACE, metadata["name"]), {}, spec)
