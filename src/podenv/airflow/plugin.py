"""What puts podenv's page into Airflow's web UI.

Every process of Airflow imports this, each task too: nothing but the base class, which podenv's operator loads anyway.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowPlugin

_ICONS = {"icon": "podenv/static/icon.svg", "icon_dark_mode": "podenv/static/icon-dark.svg"}


class PodenvPlugin(AirflowPlugin):
    name = "podenv"
    external_views: ClassVar[list[Any]] = [  # type: ignore[misc]
        {
            "name": "Environments",
            "href": "podenv/",
            "destination": "nav",
            "category": "browse",
            "url_route": "environments",
            **_ICONS,
        },
        {
            "name": "Environments",
            "href": "podenv/dag/{DAG_ID}",
            "destination": "dag",
            "url_route": "environments-dag",
            **_ICONS,
        },
        {
            "name": "Environment",
            "href": "podenv/task/{DAG_ID}/{TASK_ID}",
            "destination": "task",
            "url_route": "environment-task",
            **_ICONS,
        },
        {
            "name": "Environment",
            "href": "podenv/run/{DAG_ID}/{RUN_ID}/{TASK_ID}/{MAP_INDEX}",
            "destination": "task_instance",
            "url_route": "environment-run",
            **_ICONS,
        },
    ]

    @cached_property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]
        """The pages; asked for by the API server only."""
        from podenv.airflow.ui.app import create

        return [{"app": create(), "url_prefix": "/podenv", "name": "podenv"}]
