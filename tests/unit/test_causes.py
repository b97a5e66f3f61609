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


@pytest.mark.parametrize("message", corpus("container"))
def test_a_container_that_does_not_start_is_final_only_where_that_is_known(message: dict[str, str]) -> None:
    cause = causes.container(message["reason"], message["words"])
    assert (cause.verdict.value, cause.kind) == (message["verdict"], message["kind"])


@pytest.mark.parametrize("message", corpus("api"))
def test_a_refusal_by_the_api_server_is_final_only_where_that_is_known(message: dict[str, Any]) -> None:
    cause = causes.api(message["status"], message["reason"], message["words"])
    assert (cause.verdict.value, cause.kind) == (message["verdict"], message["kind"])


@pytest.mark.parametrize("message", corpus("helm"))
def test_a_failure_of_helm_is_final_only_where_that_is_known(message: dict[str, str]) -> None:
    cause = causes.find(causes.HELM, message["words"])
    assert (cause.verdict.value, cause.kind) == (message["verdict"], message["kind"])


@pytest.mark.parametrize("message", corpus("uv"))
def test_a_failure_of_uv_is_final_only_where_that_is_known(message: dict[str, str]) -> None:
    cause = causes.find(causes.UV, message["words"])
    assert (cause.verdict.value, cause.kind) == (message["verdict"], message["kind"])


@pytest.mark.parametrize("message", corpus("build"))
def test_a_build_that_failed_is_final_only_where_that_is_known(message: dict[str, str]) -> None:
    cause = causes.find(causes.BUILD, message["words"])
    assert (cause.verdict.value, cause.kind, cause.subject(message["words"])) == (
        message["verdict"],
        message["kind"],
        message["subject"],
    )


@pytest.mark.parametrize("message", corpus("push"))
def test_a_push_that_failed_is_final_only_where_that_is_known(message: dict[str, str]) -> None:
    cause = causes.push(message["words"], "registry.example.com/shop/etl:py3.13-401403500")
    assert (cause.verdict.value, cause.kind) == (message["verdict"], message["kind"])


def test_every_kind_of_cause_that_a_message_needs_words_for_has_them() -> None:
    from podenv.image import diagnosis
    from podenv.release import helmfailures

    assert {cause.kind for cause in causes.HELM} == helmfailures._KINDS.keys()
    assert {cause.kind for cause in causes.BUILD} == diagnosis._BUILD.keys()
    assert {cause.kind for cause in causes.PUSH} - {"outage", "login"} == diagnosis._PUSH.keys()
