"""The link from a task to the page of its pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk.bases.operator import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class PodLink(BaseOperatorLink):
    """A link to the page of the task's last pod, as ``[podenv] pod_url`` says."""

    name = "Pod"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The page's address; empty if no pod was launched."""
        return str(getattr(operator, "pod_page", ""))
