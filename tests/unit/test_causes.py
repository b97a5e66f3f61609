"""The tables of causes, against messages that programs really wrote (tests/unit/causes/)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from podenv import causes

CORPORA = Path(__file__).parent / "causes"


def corpus(name: str) -> list[Any]:
    messages = yaml.safe_load((CORPORA / f"{name}.yaml").read_text())
    return [pytest.param(one, id=f"{one['verdict']}-{' '.join(one['words'].split())[-40:]}") for one in messages]


@pytest.mark.parametrize("message", corpus("pull"))
def test_a_pull_that_failed_is_final_only_where_that_is_known(message: dict[str, str]) -> None:
    cause = causes.pull(message["words"], message["image"])
    assert (cause.verdict.value, cause.kind) == (message["verdict"], message["kind"])
    assert causes.pull_is_final(message["words"], message["image"]) is (message["verdict"] == "final")


@pytest.mark.parametrize("message", corpus("container"))
def test_a_container_that_does_not_start_is_final_only_where_that_is_known(message: dict[str, str]) -> None:
    cause = causes.container(message["reason"], message["words"])
    assert (cause.verdict.value, cause.kind) == (message["verdict"], message["kind"])
    assert causes.container_is_final(message["reason"], message["words"]) is (message["verdict"] == "final")


@pytest.mark.parametrize("message", corpus("api"))
def test_a_refusal_by_the_api_server_is_final_only_where_that_is_known(message: dict[str, Any]) -> None:
    answer = (message["status"], message["reason"], message["words"])
    cause = causes.api(*answer)
    assert (cause.verdict.value, cause.kind) == (message["verdict"], message["kind"])
    assert (causes.api_may_pass(*answer), causes.api_is_final(*answer)) == (
        message["verdict"] == "soon",
        message["verdict"] == "final",
    )
