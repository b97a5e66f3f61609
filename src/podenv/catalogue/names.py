"""Every name that is derived from another, in one place."""

from __future__ import annotations

import os
import re

from podenv.errors import InvalidName

MAX_NAME_CHARACTERS = 40
MAX_POD_NAME_CHARACTERS = 52  # of a pod's name; what is added when it starts again fits into a host's name (63)
NAMESPACE_PREFIX = "podenv-"
PREFIX_VARIABLES = ("PODENV_NAMESPACE_PREFIX", "AIRFLOW__PODENV__NAMESPACE_PREFIX")
ENVIRONMENT_LABEL = "podenv.dev/environment"
COMPONENT_LABEL = "app.kubernetes.io/component"  # what kind of pod or object: `selector` names the kinds of pods
# The label holds the digest's first 32 hex digits (a label's value ends at 63 characters), the annotation the whole.
DIGEST_LABEL = DIGEST_ANNOTATION = "podenv.dev/digest"
PYTHON_ANNOTATION = "podenv.dev/python"
LOCK_ANNOTATION = "podenv.dev/lock"
VERSION_ANNOTATION = "podenv.dev/version"
CHART_LABEL = "helm.sh/chart"  # name and version of the chart, on its objects; their pods do not have it
INPUTS_ANNOTATION = "podenv.dev/inputs"  # of a PodTemplate: the hash of all values that its objects were rendered from
# Of a task's own pods: what marks its result, which call it makes, how often it was started again.
TOKEN_ANNOTATION = "podenv.dev/token"  # noqa: S105 - its name
CALL_ANNOTATION = "podenv.dev/call"
STARTS_ANNOTATION = "podenv.dev/starts"
# Of a task's own pods: which Airflow made it, and the hash of which task instance; nothing else is adopted or deleted.
AIRFLOW_LABEL = "podenv.dev/airflow"
OWNER_LABEL = "podenv.dev/owner"
# Of a PodTemplate: how often a pod that the cluster took away is launched again.
RELAUNCH_ANNOTATION = "podenv.dev/relaunch"
TIMEOUTS_ANNOTATION = "podenv.dev/timeouts"
SPOT_ANNOTATION = "podenv.dev/spot"
# Of a PodTemplate: with what memory that is auto begins, grows to at most, and what its namespace allows a container.
# The first two are also of the pods of a task whose memory is auto.
FIRST_MEMORY_ANNOTATION = "podenv.dev/first-memory"
MAX_MEMORY_ANNOTATION = "podenv.dev/max-memory"
MEMORY_BOUNDS_ANNOTATION = "podenv.dev/memory-bounds"
# Of idle pods: whose they are, until a task takes one, and the hash of what they are made from.
WARM_LABEL = "podenv.dev/warm"
TEMPLATE_LABEL = "podenv.dev/template"
WARM_ANNOTATION = "podenv.dev/warm"  # of a PodTemplate: that hash, which tells its idle pods from those of an older one
CLAIMED_ANNOTATION = "podenv.dev/claimed"  # of a task's pod that was an idle one: when it was taken
REVISION_LABEL = "podenv.dev/revision"  # on Helm's record of a revision that podenv deployed: its number
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
PYTHON = r"3\.([89]|[1-9][0-9])"  # the runtime needs 3.8


def check_environment_name(name: str) -> str:
    """Return ``name`` when it can name an environment: a DNS-1123 label of at most 40 characters.

    Raises `InvalidName` with the rule that it breaks.
    """
    if len(name) > MAX_NAME_CHARACTERS:
        raise InvalidName(
            f"{name!r} cannot name an environment: {len(name)} characters, at most {MAX_NAME_CHARACTERS} are allowed."
        )
    if not _NAME.fullmatch(name):
        raise InvalidName(
            f"{name!r} cannot name an environment: use lower-case letters, digits and '-', "
            "beginning and ending with a letter or a digit (a DNS-1123 label)."
        )
    return name


def is_python_version(text: str) -> bool:
    """True if ``text`` is a Python version as values files name it: ``3.<minor>``, 3.8 or newer."""
    return re.fullmatch(PYTHON, text) is not None


def lock_key(python: str, lock_hash: str) -> str:
    """Name of what is made from one lock on one Python: ``py3.13-<first 16 hex digits of the lock's SHA-256>``."""
    return f"py{python}-{lock_hash[:16]}"


def image_tag(python: str, content_hash: str) -> str:
    """The tag of an image: ``py3.13-<first 16 hex digits of the SHA-256 over all that decides its content>``."""
    return f"py{python}-{content_hash[:16]}"


def image_repository(environment: str) -> str:
    """The repository of an environment's image where the values name none."""
    return f"podenv-{environment}"


def release(environment: str) -> str:
    """The Helm release of an environment; its PodTemplate, its ServiceAccount and all else are named so too."""
    return environment


def namespace(environment: str, prefix: str = NAMESPACE_PREFIX) -> str:
    """The namespace of an environment that has one of its own."""
    return f"{prefix}{environment}"


def namespace_prefix() -> str:
    """How namespaces begin, as the variables of this process say; Airflow's own setting may say it otherwise."""
    for variable in PREFIX_VARIABLES:
        if chosen := os.environ.get(variable):
            return chosen
    return NAMESPACE_PREFIX


def part(environment: str, role: str) -> str:
    """What a release holds beside its main objects: the ``launcher`` Role, the ``pre-pull`` DaemonSet ..."""
    return f"{environment}-{role}"


def digest_label(digest: str) -> str:
    """The value of the digest label for an image's digest (``sha256:<64 hex digits>``)."""
    return digest.removeprefix("sha256:")[:32]


def selector(environment: str, component: str = "task") -> dict[str, str]:
    """The labels that pick an environment's pods of one kind: ``task``, ``warm``, ``pre-pull`` or ``test``."""
    return {ENVIRONMENT_LABEL: environment, COMPONENT_LABEL: component}


def labels(environment: str) -> dict[str, str]:
    """The labels of every object of an environment's release."""
    return {
        ENVIRONMENT_LABEL: environment,
        "app.kubernetes.io/name": "airflow-env",
        "app.kubernetes.io/instance": environment,
        "app.kubernetes.io/managed-by": "Helm",
    }
