"""The values that `podenv check` reads."""

from __future__ import annotations

from pydantic import Field

from podenv.catalogue.rules import RuleId
from podenv.catalogue.spec.fields import Limits, Model


class CheckSpec(Model):
    """What `podenv check` knows of the environment beside its lock."""

    ignore: list[RuleId] = Field(default=[], description="Rules whose findings do not count in this environment.")
    largest_node: Limits = Field(
        default={}, description="What the largest node has for a pod: no task can ask for more. `--cluster` asks it."
    )
