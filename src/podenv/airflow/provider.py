"""What Airflow reads about podenv. Every Airflow process calls it, so it imports nothing heavy."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """The provider's description, by Airflow's schema ``provider_info.schema.json``."""
    return {
        "package-name": "podenv",
        "name": "podenv",
        "description": "Every task of a pipeline in an environment of its own: locked, with its own Python.",
        "task-decorators": [
            {"name": "env", "class-name": "podenv.airflow.decorator.env"},
            {"name": "env_branch", "class-name": "podenv.airflow.family.env_branch"},
            {"name": "env_short_circuit", "class-name": "podenv.airflow.family.env_short_circuit"},
            {"name": "env_sensor", "class-name": "podenv.airflow.family.env_sensor"},
        ],
        "config": {
            "podenv": {
                "description": "Environments of tasks (``@task.env``, ``EnvPodOperator``, ``run_in_env``).",
                "options": {
                    "backend": {
                        "description": (
                            "Where tasks run: ``kubernetes`` (pods) or ``local`` (virtual environments on this "
                            "machine). The variable PODENV_BACKEND goes before it."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "local",
                        "default": "kubernetes",
                    },
                    "catalogue": {
                        "description": (
                            "The ``envs/`` folder. Empty: the nearest one upwards of the DAG file. ``cluster``: what "
                            "is deployed, read once in each process, for DAGs that reach Airflow without ``envs/``; "
                            "it needs ``list`` on podtemplates in all namespaces. The variable PODENV_CATALOGUE goes "
                            "before it."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/opt/airflow/envs",
                        "default": "",
                    },
                    "code": {
                        "description": (
                            "Folders with modules that travel with the functions that import them, with commas "
                            "between. Empty: the root of the DAG's bundle, and the other folders of your own that "
                            "Python imports from. The variable PODENV_CODE goes before it."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/opt/airflow/dags,/opt/airflow/shared",
                        "default": "",
                    },
                    "namespace_prefix": {
                        "description": (
                            "How the namespaces of environments begin that have one of their own; the same as "
                            "``podenv deploy --namespace-prefix``. The variable PODENV_NAMESPACE_PREFIX goes before "
                            "it."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "team-a-",
                        "default": "podenv-",
                    },
                    "payload": {
                        "description": (
                            "How a function and its arguments travel to a pod: ``env`` (environment variables, "
                            "readable by all who may read pods) or ``secret`` (a Secret that the pod owns; needs "
                            "``access.secrets`` in the environment's values)."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "secret",
                        "default": "env",
                    },
                    "exchange": {
                        "description": (
                            "Where tables, files and values that are too large for XCom go: "
                            "``s3://conn_id@bucket/prefix``, ``gs://…``, ``abfss://conn_id@container/prefix`` or "
                            "``file:///folder``. Empty: a folder in ``[common.io] xcom_objectstorage_path`` where that "
                            "names a Connection; tasks on this machine use its cache. The variable PODENV_EXCHANGE "
                            "goes before it."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "s3://aws_default@my-bucket/podenv",
                        "default": "",
                    },
                    "results": {
                        "description": (
                            "How values come back from pods: ``value`` (through the log, what is too much for XCom "
                            "through the store) or ``exchange`` (all through the store, so that no value stands in "
                            "the cluster's logs). A task's argument ``results`` goes before it."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "exchange",
                        "default": "value",
                    },
                    "airflow_id": {
                        "description": (
                            "What tells this Airflow from others that launch pods in the same namespaces; a pod is "
                            "adopted or deleted only by the Airflow that made it. Empty: derived from the Fernet key "
                            "and ``[api] base_url``."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "production",
                        "default": "",
                    },
                    "pod_url": {
                        "description": (
                            "The page of a pod, linked from its task; ``{namespace}`` and ``{pod}`` are filled in. "
                            "Empty: no link."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "https://k8s.example.com/pods/{namespace}/{pod}",
                        "default": "",
                    },
                },
            }
        },
    }
