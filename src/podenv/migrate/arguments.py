"""The arguments of Airflow's operators and decorators, and what podenv has for each."""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """How a task says today where it runs."""

    VIRTUALENV = "virtualenv"
    EXTERNAL_PYTHON = "external_python"
    POD = "kubernetes"


# The last part of Airflow's decorator -> how its task says where it runs, and the last part of podenv's.
DECORATORS = {
    "virtualenv": (Kind.VIRTUALENV, "env"),
    "external_python": (Kind.EXTERNAL_PYTHON, "env"),
    "kubernetes": (Kind.POD, "env"),
    "branch_virtualenv": (Kind.VIRTUALENV, "env_branch"),
    "branch_external_python": (Kind.EXTERNAL_PYTHON, "env_branch"),
}
OPERATORS = {
    "PythonVirtualenvOperator": Kind.VIRTUALENV,
    "ExternalPythonOperator": Kind.EXTERNAL_PYTHON,
    "KubernetesPodOperator": Kind.POD,
}
# What has an environment of its own and no counterpart in podenv: why, and what to do.
_BRANCH = 'decorate its function, @task.env_branch("...")'
_OTHER_SYSTEM = "it does not run through KubernetesPodOperator, so podenv does not replace it; it goes on as it is"
WITHOUT_DECORATOR = {
    "kubernetes_cmd": 'its function makes the command when the task runs; use EnvPodOperator(env="...", cmds=[...])',
    "docker": _OTHER_SYSTEM,
    "pyspark": _OTHER_SYSTEM,
}
WITHOUT_OPERATOR = {
    "BranchPythonVirtualenvOperator": _BRANCH,
    "BranchExternalPythonOperator": _BRANCH,
    "DockerOperator": _OTHER_SYSTEM,
    "DockerSwarmOperator": _OTHER_SYSTEM,
    "EksPodOperator": _OTHER_SYSTEM,
    "GKEStartPodOperator": _OTHER_SYSTEM,
    "KubernetesJobOperator": _OTHER_SYSTEM,
    "KubernetesPodExecOperator": _OTHER_SYSTEM,
    "SparkKubernetesOperator": _OTHER_SYSTEM,
}
SHELLS = {"BashOperator", "bash"}

# Of every operator. tests/dags/test_migrate.py compares these sets with the installed Airflow.
_BASE = {
    "allow_nested_operators", "dag", "default_args", "depends_on_past", "do_xcom_push", "doc", "doc_json", "doc_md",
    "doc_rst", "doc_yaml", "email", "email_on_failure", "email_on_retry", "end_date", "execution_timeout", "executor",
    "executor_config", "ignore_first_depends_on_past", "inlets", "logger_name", "map_index_template",
    "max_active_tis_per_dag", "max_active_tis_per_dagrun", "max_retry_delay", "multiple_outputs",
    "on_execute_callback", "on_failure_callback", "on_retry_callback", "on_skipped_callback", "on_success_callback",
    "outlets", "owner", "params", "pool", "pool_slots", "post_execute", "pre_execute", "priority_weight", "queue",
    "render_template_as_native_obj", "resources", "retries", "retry_delay", "retry_exponential_backoff",
    "retry_policy", "run_as_user", "sla", "start_date", "task_display_name", "task_group", "task_id", "trigger_rule",
    "wait_for_downstream", "wait_for_past_depends_before_skipping", "weight_rule",
}  # fmt: skip
# Of KubernetesPodOperator, and so of EnvPodOperator.
_POD = {
    "active_deadline_seconds", "affinity", "annotations", "arguments", "automount_service_account_token",
    "base_container_status_polling_interval", "callbacks", "cluster_context", "cmds", "config_file", "configmaps",
    "container_logs", "container_name_log_prefix_enabled", "container_resources", "container_security_context",
    "deferrable", "dns_config", "dnspolicy", "durable", "env_from", "env_vars", "full_pod_spec", "get_logs",
    "host_aliases", "hostname", "hostnetwork", "image_pull_policy", "image_pull_secrets", "in_cluster",
    "init_container_logs", "init_containers", "is_delete_operator_pod", "kubernetes_conn_id", "labels",
    "log_events_on_failure", "log_events_on_startup", "log_formatter", "name", "node_selector", "on_finish_action",
    "on_kill_action", "pod_runtime_info_envs", "pod_template_dict", "pod_template_file", "poll_interval", "ports",
    "priority_class_name", "progress_callback", "random_name_suffix", "reattach_on_restart", "runtime_class_name",
    "schedule_timeout_seconds", "schedulername", "secrets", "security_context", "service_account_name",
    "skip_on_exit_code", "startup_check_interval_seconds", "startup_timeout_seconds", "subdomain",
    "termination_grace_period", "termination_message_policy", "tolerations", "trigger_kwargs", "volume_mounts",
    "volumes",
}  # fmt: skip
_FUNCTION = {"op_args", "op_kwargs", "python_callable"}

# What stays in the call as it is.
KEPT = {
    Kind.VIRTUALENV: _BASE | _FUNCTION | {"env_vars", "skip_on_exit_code"},
    Kind.EXTERNAL_PYTHON: _BASE | _FUNCTION | {"env_vars", "skip_on_exit_code"},
    Kind.POD: _BASE | _POD | {"op_args", "op_kwargs"},
}
# What podenv has no use for: it goes without a word.
_POINTLESS = {"expect_airflow", "expect_pendulum", "show_return_value_in_logs", "venv_cache_path"}
DROPPED = {
    Kind.VIRTUALENV: _POINTLESS | {"system_site_packages"},
    Kind.EXTERNAL_PYTHON: _POINTLESS,
    Kind.POD: {"log_pod_spec_on_failure"},
}
_JSON = "arguments and values travel as JSON (with dates, Decimal, tuples and sets), never by pickle"
# What goes, and what a person should know of it.
REMARKED = {
    "serializer": _JSON,
    "use_cloudpickle": _JSON,
    "use_dill": _JSON,
    "base_container_name": "base_container_name goes: an environment's container is always named `base`",
    "logging_interval": "logging_interval goes: the log of a deferred task is read whole when it resumes",
    "xcom_sidecar_container_security_context": "xcom_sidecar_container_security_context goes: there is no sidecar",
    "index_urls_from_connection_ids": (
        "its indexes come from Connections: set UV_INDEX or UV_DEFAULT_INDEX where `podenv lock` and `podenv build` run"
    ),
}
REMARKED_OF = {
    Kind.VIRTUALENV: {"serializer", "use_cloudpickle", "use_dill", "index_urls_from_connection_ids"},
    Kind.EXTERNAL_PYTHON: {"serializer", "use_cloudpickle", "use_dill"},
    Kind.POD: {"use_dill", "base_container_name", "logging_interval", "xcom_sidecar_container_security_context"},
}
# What says where the task runs; it moves into the environment.
READ = {
    Kind.VIRTUALENV: {"requirements", "python_version", "pip_install_options", "index_urls", "inherit_env"},
    Kind.EXTERNAL_PYTHON: {"python", "inherit_env"},
    Kind.POD: {"image", "namespace"},
}
# What podenv cannot do in the same way: the task stays.
REFUSED = {
    "string_args": "the function reads virtualenv_string_args; pass the texts by op_args, as arguments of the function",
    "templates_dict": "pass the templates by op_kwargs, which Airflow renders too",
    "templates_exts": "pass the content of the file by op_kwargs; only the operator's own file types are rendered",
}
# In default_args, or in .override(), these would decide for the environment from elsewhere.
DECIDING = {
    "requirements",
    "python_version",
    "system_site_packages",
    "pip_install_options",
    "index_urls",
    "python",
    "image",
}
