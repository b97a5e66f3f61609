"""The links from a task to the tab of its run and to the page of its pod."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk.bases.operator import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class EnvironmentLink(BaseOperatorLink):
    """A link to podenv's page of this run: what it ran in, what it used, why it failed."""

    name = "Environment"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The page's address below Airflow's own."""
        dag, run, task = (quote(one, safe="") for one in (ti_key.dag_id, ti_key.run_id, ti_key.task_id))
        mapped = f"/mapped/{ti_key.map_index}" if ti_key.map_index >= 0 else ""
        return f"dags/{dag}/runs/{run}/tasks/{task}{mapped}/plugin/environment-run"


class PodLink(BaseOperatorLink):
    """A link to the page of the task's last pod, as ``[podenv] pod_url`` says."""

    name = "Pod"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The page's address; empty if no pod was launched."""
        return str(getattr(operator, "pod_page", ""))
