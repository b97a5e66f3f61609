"""What was applied without Helm, against what the repository renders."""

from __future__ import annotations

from typing import Any

import pytest

from podenv.release.applied import Applied


def limit_range(limit: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "etl", "labels": {"podenv.dev/environment": "etl"}},
        "spec": {"limits": [{"type": "Container", **limit}]},
    }


@pytest.mark.parametrize(
    ("rendered", "filled_in"),
    [
        ({"max": {"memory": "64Gi"}}, {"default": {"memory": "64Gi"}, "defaultRequest": {"memory": "64Gi"}}),
        ({"min": {"cpu": "1"}}, {"defaultRequest": {"cpu": "1"}}),
        ({"min": {"cpu": "1"}, "default": {"cpu": "2"}}, {"defaultRequest": {"cpu": "2"}}),
    ],
)
def test_what_kubernetes_fills_in_is_no_change_after_a_server_side_apply(
    rendered: dict[str, Any], filled_in: dict[str, Any]
) -> None:
    live = limit_range(rendered | filled_in)
    owned = {"f:metadata": {"f:labels": {"f:podenv.dev/environment": {}}}, "f:spec": {"f:limits": {}}}
    live["metadata"]["managedFields"] = [{"manager": "argocd-controller", "operation": "Apply", "fieldsV1": owned}]
    assert Applied((live,)).changes([limit_range(rendered)]) == []
    [change] = Applied((live,)).changes([limit_range(rendered | {"max": {"memory": "1Gi"}})])
    assert change.object == "LimitRange/etl"
