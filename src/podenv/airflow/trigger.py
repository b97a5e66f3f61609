"""What the triggerer does for a deferred task: it looks at the pod until the task can go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.triggers.base import BaseTrigger, TriggerEvent
from kubernetes.config import ConfigException
from kubernetes_asyncio.client import CoreV1Api
from kubernetes_asyncio.config import ConfigException as AsyncConfigException

from podenv.airflow.compat import AirflowException
from podenv.pods import room, status
from podenv.pods.client import PATIENCE_SECONDS, Json, plain
from podenv.pods.manifest import to_json

ROOM = "room"  # the status of a task that waits for room, and for how many seconds it may


class RoomTrigger(BaseTrigger):
    """Waits ``seconds`` before a pod is asked for again: the quota had no room, so there is none to look at.

    ``since`` (seconds since 1970) is when the task began to wait, ``tries`` how often it asked.
    """

    def __init__(self, since: float, tries: int, seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.since = since
        self.tries = tries
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Its own class path, and the arguments."""
        given = {"since": self.since, "tries": self.tries, "seconds": self.seconds}
        return f"{type(self).__module__}.{type(self).__qualname__}", given

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event."""
        await asyncio.sleep(self.seconds)
        yield TriggerEvent({"status": ROOM, "since": self.since, "tries": self.tries})  # type: ignore[no-untyped-call]


class EnvPodTrigger(KubernetesPodTrigger):
    """Ends as soon as waiting is in vain: also for a container that can never start, and for a node that is lost.

    What came of the pod is for the resumed task to find out: the event says no more than that it is time to look.
    """

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Its own class path, and the arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", super().serialize()[1]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event, with the statuses of KubernetesPodTrigger."""
        status = await self._status()
        self._fired_event = True
        payload = {"status": status, "name": self.pod_name, "namespace": self.pod_namespace, **self.trigger_kwargs}
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]

    async def _status(self) -> str:
        deadline = self.trigger_kwargs.get("_execution_deadline", float("inf"))
        answered = time.monotonic()
        wait = room.Wait(answered, self.schedule_timeout, self.trigger_kwargs.get(ROOM, 0.0))
        start_by, scheduled, started, told, reason = wait.end, False, False, False, ""
        while time.time() < deadline:
            try:
                pod: Json = to_json(await self.hook.get_pod(self.pod_name, self.pod_namespace))
            except Exception as error:  # noqa: BLE001 - the resumed task meets it too, and has the words for it
                final = _is_final(error)
                if final or not told:
                    told = True
                    self.log.warning("Pod %s/%s cannot be read: %s", self.pod_namespace, self.pod_name, _words(error))
                if final or time.monotonic() > answered + PATIENCE_SECONDS:
                    return "error"
            else:
                answered, told = time.monotonic(), False
                if status.is_over(pod, self.base_container_name) or self._is_in_vain(pod):
                    ended = status.terminated(pod, self.base_container_name)
                    return "success" if ended and ended["exitCode"] == 0 else "failed"
                if pod["spec"].get("nodeName") and not scheduled:
                    scheduled, start_by = True, answered + self.startup_timeout
                elif not scheduled:
                    if wait.see(pod, answered):
                        wait.larger = room.beyond_nodes(pod, await self._nodes())
                    if wait.reason != reason:
                        reason = wait.reason
                        self.log.info("Pod %s/%s waits for %s", self.pod_namespace, self.pod_name, reason or "a node")
                    start_by = wait.end
                started = started or status.is_running(pod, self.base_container_name)
            if not started and time.monotonic() > start_by:
                return "timeout"
            await asyncio.sleep(self.poll_interval)
        return "timeout"

    async def _nodes(self) -> list[Json]:
        """The nodes; empty where they may not be read."""
        try:
            async with self.hook.get_conn() as connection:
                return list(to_json(await CoreV1Api(connection).list_node(resource_version="0"))["items"])
        except Exception:  # noqa: BLE001 - it waits then as long as a task may
            return []

    def _is_in_vain(self, pod: Json) -> bool:
        name = self.base_container_name
        return bool(status.before_start(pod, name, "") or status.node_is_lost(pod, name, datetime.now(UTC)))


def _is_final(error: Exception) -> bool:
    """True if asking again brings the same answer: the pod is gone, or nothing here says how to reach the cluster."""
    return getattr(error, "status", None) in (401, 403, 404) or isinstance(
        error, ConfigException | AsyncConfigException | AirflowException
    )


def _words(error: Exception) -> str:
    return plain(f"{type(error).__name__}: {getattr(error, 'reason', None) or error}")
