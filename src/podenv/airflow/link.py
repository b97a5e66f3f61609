"""The link from a task to the page of its pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk.bases.operator import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class PodLink(BaseOperatorLink):
    """The page that ``[podenv] pod_url`` names, of the pod that ran last."""

    name = "Pod"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The page's address; empty where no pod was launched."""
        return str(getattr(operator, "pod_page", ""))
