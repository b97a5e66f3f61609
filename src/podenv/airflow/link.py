"""The links from a task to its environment and to the page of its pod."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk.bases.operator import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class EnvironmentLink(BaseOperatorLink):
    """A link to podenv's page of the task's environment."""

    name = "Environment"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The page's address below Airflow's own; before Airflow 3.3.2 it leads to the list of environments."""
        return f"plugin/environments/podenv/env/{quote(str(getattr(operator, 'env', '')), safe='')}"


class PodLink(BaseOperatorLink):
    """A link to the page of the task's last pod, as ``[podenv] pod_url`` says."""

    name = "Pod"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The page's address; empty if no pod was launched."""
        return str(getattr(operator, "pod_page", ""))
