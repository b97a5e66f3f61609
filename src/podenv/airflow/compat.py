"""Every name of Airflow and of its Kubernetes provider that is private there, or that moves between versions.

No other module imports such a name by itself. So this file shows what a new version of Airflow can break, and
`missing` says what it did break. A name is loaded when it is first used: parsing a DAG needs few of them.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podenv.errors import AirflowUnsupported

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.providers.cncf.kubernetes.backcompat.backwards_compat_converters import (
        convert_configmap,
        convert_volume,
        convert_volume_mount,
    )
    from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import (
        add_unique_suffix,
        create_unique_id,
    )
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
    from airflow.providers.cncf.kubernetes.pod_generator import make_safe_label_value
    from airflow.providers.common.compat.sdk import (
        AirflowException,
        AirflowFailException,
        AirflowSkipException,
        BaseHook,
        BaseSensorOperator,
        PokeReturnValue,
        SkipMixin,
        Stats,
        TaskDeferred,
        Variable,
        conf,
        get_listener_manager,
        hookimpl,
        mask_secret,
    )
    from airflow.providers.standard.operators.branch import BranchMixIn
    from airflow.sdk import Context
    from airflow.sdk.bases.decorator import DecoratedOperator, Task, _TaskDecorator
    from airflow.sdk.definitions._internal.expandinput import ExpandInput
    from airflow.sdk.definitions.mappedoperator import (
        MappedOperator,
        OperatorPartial,
    )
    from kubernetes.client import CoreV1Api, V1Pod

__all__ = [  # for the type checker: each is in _NAMES too
    "AirflowException",
    "AirflowFailException",
    "AirflowSkipException",
    "BaseHook",
    "BaseSensorOperator",
    "BranchMixIn",
    "DagBag",
    "DecoratedOperator",
    "ExpandInput",
    "MappedOperator",
    "OperatorPartial",
    "PokeReturnValue",
    "SkipMixin",
    "Stats",
    "Task",
    "TaskDeferred",
    "Variable",
    "_TaskDecorator",
    "add_unique_suffix",
    "conf",
    "convert_configmap",
    "convert_volume",
    "convert_volume_mount",
    "create_unique_id",
    "get_listener_manager",
    "hookimpl",
    "make_safe_label_value",
    "mask_secret",
]

_K8S = "airflow.providers.cncf.kubernetes"
_SDK = "airflow.providers.common.compat.sdk"
_CONVERTERS = f"{_K8S}.backcompat.backwards_compat_converters"

DAGS_FOLDER_BUNDLE = "dags-folder"  # what Airflow calls the bundle of its DAGs folder
# name -> the modules that may hold it, the newest Airflow's first
_NAMES: dict[str, tuple[str, ...]] = {
    "AirflowException": (_SDK,),
    "AirflowFailException": (_SDK,),
    "AirflowSkipException": (_SDK,),
    "BaseHook": (_SDK,),
    "BaseSensorOperator": (_SDK,),
    "BranchMixIn": ("airflow.providers.standard.operators.branch",),
    "DagBag": ("airflow.dag_processing.dagbag", "airflow.models.dagbag"),  # the second: Airflow 3.1
    "DecoratedOperator": ("airflow.sdk.bases.decorator",),
    "ExpandInput": ("airflow.sdk.definitions._internal.expandinput",),
    "MappedOperator": ("airflow.sdk.definitions.mappedoperator",),
    "OperatorPartial": ("airflow.sdk.definitions.mappedoperator",),
    "PokeReturnValue": (_SDK,),
    "SkipMixin": (_SDK,),
    "Stats": ("airflow.sdk.observability.stats", "airflow.observability.stats", "airflow.stats"),
    "Task": ("airflow.sdk.bases.decorator",),
    "TaskDeferred": (_SDK,),
    "Variable": (_SDK,),
    # The only place where `.expand()` of a decorated function can be checked at parse time.
    "_TaskDecorator": ("airflow.sdk.bases.decorator",),
    "add_unique_suffix": (f"{_K8S}.kubernetes_helper_functions",),
    "conf": (_SDK,),
    "convert_configmap": (_CONVERTERS,),
    "convert_volume": (_CONVERTERS,),
    "convert_volume_mount": (_CONVERTERS,),
    "create_unique_id": (f"{_K8S}.kubernetes_helper_functions",),
    "get_listener_manager": (_SDK,),
    "hookimpl": (_SDK,),
    "make_safe_label_value": (f"{_K8S}.pod_generator",),
    "mask_secret": (_SDK, "airflow.sdk.log"),
}
# Members of classes and modules that podenv reads, calls or overrides, and that no documentation promises.
_MEMBERS: dict[str, tuple[str, ...]] = {
    "airflow.sdk.bases.decorator:DecoratedOperator": ("_hook_apply_defaults",),
    "airflow.sdk.bases.decorator:_TaskDecorator": ("_expand",),
    "airflow.sdk.definitions.mappedoperator:OperatorPartial": ("_expand", "_expand_called"),
    "airflow.sdk.execution_time.supervisor": ("InProcessSupervisorComms", "set_supervisor_comms"),
    "airflow.settings": ("pod_mutation_hook",),
    "airflow.utils.db": ("check_migrations", "initdb"),
    f"{_K8S}.hooks.kubernetes:KubernetesHook": ("conn_extras",),
    f"{_K8S}.operators.pod:KubernetesPodOperator": (
        "_config_dict",
        "_get_ti_pod_labels",
        "_killed",
        "_progress_callback",
        "_set_name",
        "convert_config_file_to_dict",
        "invoke_defer_method",
    ),
    f"{_K8S}.pod_generator:PodGenerator": ("deserialize_model_dict",),
    f"{_K8S}.triggers.pod:KubernetesPodTrigger": ("_fired_event",),
}


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for module in _NAMES[name]:
        try:
            found = getattr(import_module(module), name)
        except (ModuleNotFoundError, AttributeError):
            continue
        globals()[name] = found
        return found
    raise AirflowUnsupported(_versions(), [f"{_NAMES[name][0]}:{name}"])


def missing() -> list[str]:
    """What podenv needs of the Airflow that is installed and does not find there, as ``module:name``; it loads all."""
    absent = []
    for name in _NAMES:
        try:
            __getattr__(name)
        except AirflowUnsupported as error:
            absent += error.missing
    for place, members in _MEMBERS.items():
        try:
            owner = _owner(place)
        except (ModuleNotFoundError, AttributeError):
            absent.append(place)
            continue
        absent += [f"{place}.{member}" for member in members if not _has(owner, member)]
    return sorted(set(absent))


def _owner(place: str) -> Any:
    module, _, name = place.partition(":")
    found = import_module(module)
    return getattr(found, name) if name else found


def _has(owner: Any, member: str) -> bool:
    """True if a module or class has ``member``, or its ``__init__`` gives it to each instance."""
    return hasattr(owner, member) or member in inspect.unwrap(owner.__init__).__code__.co_names


def _versions() -> str:
    packages = ("apache-airflow", "apache-airflow-providers-cncf-kubernetes")
    return " and ".join(f"{package} {version(package)}" for package in packages)


def pod_labels(context: Context | None, *, with_try_number: bool = True) -> dict[str, str]:
    """The labels by which the Kubernetes provider finds the pod of a task instance."""
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

    return KubernetesPodOperator._get_ti_pod_labels(context, include_try_number=with_try_number)


def pod_name(operator: KubernetesPodOperator) -> str | None:
    """The name that the operator's argument ``name`` asks for, as Kubernetes takes it; None without that argument."""
    return operator._set_name(operator.name)


def mutate_pod(pod: V1Pod) -> None:
    """Let the cluster policy ``pod_mutation_hook`` change ``pod``."""
    from airflow import settings

    settings.pod_mutation_hook(pod)  # type: ignore[no-untyped-call]


def pod_from_dict(pod: Mapping[str, Any]) -> V1Pod:
    """The model of a pod that is given as JSON has it."""
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator

    return PodGenerator.deserialize_model_dict(dict(pod))


_loading = threading.Lock()


def kubernetes_client(connection: str = "") -> CoreV1Api:
    """The client of a Connection; without one that of ``kubernetes_default``, or of the cluster this process runs in.

    The hook goes through a configuration that the whole process shares, so one thread at a time makes a client.
    """
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

    with _loading:
        return KubernetesHook(conn_id=connection or KubernetesHook.default_conn_name).core_v1_client


def runs_whole_dag() -> bool:
    """True if this process runs all tasks of a DAG, as `dag.test` does; a worker's runs one."""
    supervisor = sys.modules.get("airflow.sdk.execution_time.supervisor")
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    in_process = getattr(supervisor, "InProcessSupervisorComms", ())
    return isinstance(getattr(runner, "SUPERVISOR_COMMS", None), in_process)


def allow_in_xcom(name: str) -> None:
    """Let XCom make objects of the class ``name`` in this process, without loading it.

    Elsewhere ``[core] allowed_deserialization_classes`` has to name it.
    """
    for module in ("airflow.sdk.serde", "airflow.serialization.serde"):  # the second: Airflow 3.1
        with suppress(ModuleNotFoundError):
            allowed: set[str] | None = getattr(import_module(module), "_extra_allowed", None)
            if allowed is not None:
                allowed.add(name)
                return
    raise AirflowUnsupported(_versions(), ["airflow.sdk.serde._extra_allowed"])


def make_database() -> None:
    """Make Airflow's metadata database."""
    from airflow.utils import db

    db.initdb()


def database_is_current() -> bool:
    """True if Airflow's metadata database has the tables that this Airflow needs."""
    from airflow.utils import db

    try:
        db.check_migrations(0)  # type: ignore[no-untyped-call]
    except TimeoutError:
        return False
    return True


def bundle_arguments(root: Path) -> dict[str, Any]:
    """The arguments with which a `DagBag` reads the folder ``root`` as the dag processor reads a bundle."""
    arguments: dict[str, Any] = {"dag_folder": root, "bundle_path": root, "bundle_name": DAGS_FOLDER_BUNDLE}
    accepted = inspect.signature(__getattr__("DagBag")).parameters  # Airflow 3.1 does not take the bundle's name
    return {name: value for name, value in arguments.items() if name in accepted}


@contextmanager
def parsed_once(bag: DagBag, *, reuse: bool) -> Iterator[None]:
    """Let `dag.test` store the DAGs of ``bag``, which it would parse anew from the same folder.

    Without ``reuse``, and with Airflow 3.1, everything stays as it is.
    """
    dagbag: Any = None
    with suppress(ModuleNotFoundError):
        dagbag = import_module("airflow.dag_processing.dagbag")
    stock = getattr(dagbag, "BundleDagBag", None)
    if stock is None or not reuse:
        yield
        return

    def bundle_dag_bag(dag_folder: Any, **settings: Any) -> Any:
        same = Path(dag_folder) == Path(bag.dag_folder) and settings.get("bundle_name") == bag.bundle_name
        return bag if same else stock(dag_folder, **settings)

    dagbag.BundleDagBag = bundle_dag_bag
    try:
        yield
    finally:
        dagbag.BundleDagBag = stock


def serve_newest_execution_api_only() -> None:
    """Spare `dag.test` the older versions of the execution API, which nothing in this process asks for.

    Making all ten takes 3 s of CPU (seen with Airflow 3.3.2). Where Airflow is built otherwise it makes them all.
    """
    with suppress(ImportError, AttributeError):
        from airflow.api_fastapi.execution_api import versions
        from airflow.api_fastapi.execution_api.routes import execution_api_router
        from airflow.sdk.api.datamodels._generated import API_VERSION
        from cadwyn import HeadVersion, Version, VersionBundle
        from cadwyn.route_generation import _DELETED_ROUTE_TAG

        newest = versions.bundle.versions[0].value
        if newest != API_VERSION:
            return
        routes = execution_api_router.routes
        # Cadwyn wants an older version for each route that the newest has no longer.
        routes[:] = [route for route in routes if _DELETED_ROUTE_TAG not in getattr(route, "tags", ())]
        versions.bundle = VersionBundle(HeadVersion(), Version(newest))
