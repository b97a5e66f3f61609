"""The one pod that may be there: created, deleted or left, whatever interrupts that."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from kubernetes.client import ApiException, V1DeleteOptions, V1Pod, V1Preconditions
from urllib3.exceptions import HTTPError

from podenv.errors import ClusterUnreachable, PodRefused
from podenv.pods import failures
from podenv.pods.api import LIMITS, Api, Patience, reason_of, words_of
from podenv.pods.launch import CHECKED, Launch

DELETION = 15.0  # seconds that a deletion is tried while the server is away
GOING = 60.0  # seconds that a pod of the same name, of the try before, may take to go


class PodSlot:
    """Knows which pod may be there, from before its creation until after its deletion."""

    def __init__(self, api: Api, *, note: Callable[[str], None]) -> None:
        self._api = api
        self._note = note
        self._held: tuple[Launch, str | None] | None = None  # what may be there, and its uid once that is known

    def fill(self, launch: Launch) -> V1Pod:
        """Create the pod and the Secret it owns; when that fails there is none of them.

        Raises `PodFailure`, `Killed`.
        """
        try:
            pod = self._post(launch)
            self._held = (launch, pod.metadata.uid)
            self._api.refuse_stopped()
            self.give_secret(pod)
        except BaseException:
            self.empty()
            raise
        return pod

    def take(self, launch: Launch, pod: V1Pod) -> None:
        """Answer for a ``pod`` of ``launch`` that is there already."""
        self._held = (launch, pod.metadata.uid)

    def give_secret(self, pod: V1Pod) -> None:
        """Create the Secret that the pod owns, where it needs one and has none. Raises `PodFailure`, `Killed`."""
        assert self._held is not None
        launch = self._held[0]
        body = launch.secret_of(pod)
        if body is None:
            return
        try:
            self._api.ask(lambda core: core.create_namespaced_secret(launch.namespace, body, _request_timeout=LIMITS))
        except ApiException as error:
            if reason_of(error) != "AlreadyExists":
                raise failures.refusal(error, launch.environment, f"create a Secret in {launch.namespace}") from None

    def kill(self) -> None:
        """Delete the pod once, unless it is to be left; for a signal handler: it raises and logs nothing."""
        if self._held is not None and not self._held[0].keep_when_killed:
            with suppress(Exception):  # `empty` comes too
                self._delete(another=True)

    def empty(self, *, keep: bool = False) -> None:
        """Delete the pod, or leave it marked, so that the next try does not take its result for its own."""
        if keep and self._held is not None:
            self._mark(self._held[0])
            self._held = None
        patience = Patience(self._api, allowed=True, seconds=DELETION)
        while self._held is not None:
            launch = self._held[0]
            try:
                self._delete()
                self._held = None
            except (ApiException, HTTPError) as error:
                try:
                    patience.outlive(error)
                except (ApiException, HTTPError, ClusterUnreachable):
                    self._held = None
                    self._note(
                        f"Pod {launch.namespace}/{launch.name} could not be deleted ({words_of(error)}); "
                        "delete it with kubectl if it is still there."
                    )

    def _post(self, launch: Launch) -> V1Pod:
        body = launch.request()
        end = time.monotonic() + GOING
        while True:
            self._held = (launch, None)
            try:
                return self._api.ask(
                    lambda core: core.create_namespaced_pod(launch.namespace, body, _request_timeout=LIMITS)
                )
            except ApiException as error:
                if error.status != 409 or reason_of(error) != "AlreadyExists":
                    raise failures.refusal(error, launch.environment, f"create a pod in {launch.namespace}") from None
            there = self._that_is_there(launch)
            if there is not None and launch.is_own(there):  # an earlier request arrived although its answer did not
                return there
            self._held = None  # whatever ends this wait, the other pod is not ours to delete
            going = there is None or there.metadata.deletion_timestamp is not None
            if not going or time.monotonic() >= end:
                raise PodRefused(
                    f"Environment {launch.environment!r}: there is another pod {launch.name} in {launch.namespace}; "
                    "delete it, or leave random_name_suffix on."
                )
            self._api.pause(1.0)
            self._api.refuse_stopped()

    def _that_is_there(self, launch: Launch) -> V1Pod | None:
        """The pod of this name; None when it has just gone. Raises `PodFailure`, `Killed`."""
        try:
            return self._api.ask(
                lambda core: core.read_namespaced_pod(launch.name, launch.namespace, _request_timeout=LIMITS)
            )
        except ApiException as error:
            if error.status == 404:
                return None
            raise failures.refusal(error, launch.environment, f"read a pod in {launch.namespace}") from None

    def _mark(self, launch: Launch) -> None:
        body = {"metadata": {"labels": {CHECKED: "True"}}}
        try:
            self._api.core().patch_namespaced_pod(launch.name, launch.namespace, body, _request_timeout=LIMITS)
        except (ApiException, HTTPError) as error:
            self._note(f"Pod {launch.namespace}/{launch.name} is kept, but not marked ({words_of(error)}).")

    def _delete(self, *, another: bool = False) -> None:
        assert self._held is not None
        launch, uid = self._held
        core = self._api.another() if another else self._api.core()
        preconditions = V1Preconditions(uid=uid) if uid else None
        try:
            answer = core.delete_namespaced_pod(
                launch.name,
                launch.namespace,
                body=V1DeleteOptions(grace_period_seconds=launch.grace, preconditions=preconditions),
                _preload_content=False,
                _request_timeout=LIMITS,
            )
            answer.read()  # the pod as it was: not needed, hence not parsed
        except ApiException as error:
            if error.status not in (404, 409):  # gone, or another pod of that name
                raise
