"""What becomes of a pod is decided from data, in one place."""

from __future__ import annotations

from typing import Any

import pytest

from podenv.catalogue import names
from podenv.errors import Exited, OutOfMemory, PodLost
from podenv.pods import decisions
from podenv.pods.client import Json
from podenv.pods.decisions import CHECKED_LABEL, End, Relaunch
from podenv.pods.request import FinishAction, PodRequest, Relaunches

LOST = PodLost("It was evicted.")


def pod(name: str = "n", *, call: str = "c", image: str = "i", at: int = 1, **more: Any) -> Json:
    annotations = {names.CALL_ANNOTATION: call, names.TOKEN_ANNOTATION: name}
    created = f"2026-01-01T00:00:{at:02}Z"
    return {
        "metadata": {
            "name": name, "namespace": "s", "uid": name, "annotations": annotations, "creationTimestamp": created,
            **more.pop("metadata", {}),
        },
        "spec": {"containers": [{"name": "base", "image": image, "resources": {"limits": {"memory": "1Gi"}}}]},
        "status": more,
    }  # fmt: skip


def ended(code: int) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "base", "state": {"terminated": {"exitCode": code}}}]}


def request(**given: Any) -> PodRequest:
    return PodRequest(environment="e", pod=pod("ours"), **given)


@pytest.mark.parametrize("action", FinishAction)
def test_what_becomes_of_a_pod_is_decided_as_upstream_documents_it(action: FinishAction) -> None:
    kept = [
        decisions.keeps(request(on_finish=action), end, over=over)
        for end, over in ((End.SUCCEEDED, False), (End.RAISED, False), (End.FAILED, False))
    ]
    assert (
        kept
        == {
            "delete_pod": [False, False, False],
            "delete_succeeded_pod": [False, True, True],
            "delete_active_pod": [True, True, False],
            "keep_pod": [True, True, True],
        }[action.value]
    )


@pytest.mark.parametrize("over", [True, False])
@pytest.mark.parametrize("action", FinishAction)
def test_a_pod_that_is_replaced_goes_and_one_that_a_trigger_follows_stays(action: FinishAction, over: bool) -> None:
    one = request(on_finish=action, keep_when_killed=True)
    assert not decisions.keeps(one, End.REPLACED, over=over)
    assert decisions.keeps(one, End.HANDED_OVER, over=over)


def test_a_killed_task_keeps_its_pod_only_if_it_says_so() -> None:
    assert not decisions.keeps(request(on_finish=FinishAction.KEEP), End.KILLED, over=False)
    assert decisions.keeps(request(keep_when_killed=True), End.KILLED, over=False)


def test_a_timeout_keeps_the_pod_that_is_to_be_kept() -> None:
    assert decisions.keeps(request(on_finish=FinishAction.KEEP), End.INTERRUPTED, over=False)
    assert not decisions.keeps(request(), End.INTERRUPTED, over=False)


@pytest.mark.parametrize(
    ("started", "allowed", "starts", "again"),
    [
        (False, Relaunches(), 0, Relaunch(counted=True, grown=False, most=3)),
        (False, Relaunches(), 3, None),
        (True, Relaunches(), 0, None),
        (True, Relaunches(3, 3), 2, Relaunch(counted=True, grown=False, most=3)),
        (False, Relaunches(0, 0), 0, None),
        (True, Relaunches(1, 1), 1, None),
    ],
)
def test_a_lost_pod_is_launched_again_freely_before_it_ran_and_else_by_the_authors_word(
    started: bool, allowed: Relaunches, starts: int, again: Relaunch | None
) -> None:
    one = request(relaunches=allowed).with_name(f"n-again{starts}" if starts else "n")
    assert decisions.relaunch(LOST, one, started=started) == again


def test_out_of_memory_is_launched_again_with_more_as_often_as_there_is_more() -> None:
    error = OutOfMemory("e", "1Gi", "")
    assert decisions.relaunch(error, request(max_memory="2Gi"), started=True) == Relaunch(counted=False, grown=True)
    assert decisions.relaunch(error, request(max_memory="1Gi"), started=True) is None
    assert decisions.relaunch(error, request(), started=True) is None


def test_a_function_that_ended_by_itself_is_not_launched_again() -> None:
    assert decisions.relaunch(Exited("e", 1, ""), request(relaunches=Relaunches(3, 3)), started=True) is None


@pytest.mark.parametrize(
    ("left", "adopted", "deleted"),
    [
        ([], None, []),
        ([pod("a", phase="Running")], "a", []),
        ([pod("a", at=1), pod("b", at=2)], "b", ["a"]),
        ([pod("a", **ended(0))], "a", []),
        ([pod("a", **ended(1))], None, ["a"]),
        ([pod("a", phase="Failed")], None, ["a"]),
        ([pod("a", call="another")], None, ["a"]),
        ([pod("a", image="another")], None, ["a"]),
        ([pod("a", metadata={"labels": {CHECKED_LABEL: "True"}})], None, []),
        ([pod("a", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})], None, []),
    ],
    ids=["none", "runs", "newest", "succeeded", "failed", "evicted", "other call", "other image", "kept", "going"],
)
def test_of_a_tasks_own_pods_the_newest_of_the_same_work_is_adopted_and_the_rest_goes(
    left: list[Json], adopted: str | None, deleted: list[str]
) -> None:
    chosen, stale = decisions.choose(left, request())
    assert chosen == (None if adopted is None else next(one for one in left if one["metadata"]["name"] == adopted))
    assert [one["metadata"]["name"] for one in stale] == deleted


def test_without_a_hash_of_its_call_no_pod_is_known_to_do_the_same_work() -> None:
    ours = request()
    del ours.pod["metadata"]["annotations"][names.CALL_ANNOTATION]
    left = pod("a")
    del left["metadata"]["annotations"][names.CALL_ANNOTATION]
    assert decisions.choose([left], ours) == (None, [left])


def test_a_pod_is_our_own_by_its_token() -> None:
    assert decisions.is_own(pod("ours"), request())
    assert not decisions.is_own(pod("another"), request())
    assert not decisions.is_own({"metadata": {"name": "x"}}, request())
