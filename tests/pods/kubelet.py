"""The one node of the simulated cluster: it runs a pod's command as a process, or plays what a test tells it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from tests.pods import statuses
from tests.pods.logs import ContainerLog
from tests.pods.nodepod import NodePod, Stopped
from tests.pods.objects import Json, Key, Objects
from tests.pods.statuses import Refusal

Plan = Callable[[NodePod], None]


def run(pod: NodePod) -> None:
    """Schedule the pod and run its command to its end."""
    pod.schedule()
    pod.run()


class Kubelet:
    """Gives every new pod the next of ``plans``, and `run` when none is left.

    ``collects``: what a pod owns goes with it. ``answers``: False for a node that is lost.
    """

    def __init__(self, objects: Objects) -> None:
        self.plans: list[Plan] = []
        self.default: Plan = run
        self.collects = True
        self.answers = True
        self._objects = objects
        self._pods: dict[str, NodePod] = {}  # by uid
        self._threads: list[threading.Thread] = []

    def created(self, key: Key) -> None:
        """A pod was created."""
        pod = NodePod(self._objects, key, gone=self._collect)
        self._pods[pod.uid] = pod
        plan = self.plans.pop(0) if self.plans else self.default
        self._start(lambda: plan(pod))

    def pod(self, name: str, namespace: str = "s") -> NodePod:
        """The node's side of a pod that is there. Raises `Refusal`."""
        return self._pods[self._objects.get(("pods", namespace, name))["metadata"]["uid"]]

    def delete(self, key: Key, grace: int | None) -> Json:
        """End the pod, at once where nothing runs; the pod as the answer shows it."""
        found = self._objects.get(key)
        pod = self._pods.get(found["metadata"]["uid"])
        if pod is None or not found["spec"].get("nodeName") or grace == 0:
            if pod is not None:
                pod.stop()
            self._objects.remove(key)
            self._collect(found["metadata"]["uid"])
            return found
        over = found["status"]["phase"] in ("Failed", "Succeeded")
        seconds = 0 if over else found["spec"]["terminationGracePeriodSeconds"] if grace is None else grace
        terminating = pod.mark_deleted(seconds)
        if self.answers:
            self._start(lambda: pod.terminate(seconds))
        return terminating

    def log(self, pod: Json, container: str) -> ContainerLog:
        """The container's log. Raises `Refusal`."""
        name = pod["metadata"]["name"]
        if not self.answers:
            message = (
                f'Get "https://10.0.0.1:10250/containerLogs/s/{name}/{container}": dial tcp 10.0.0.1:10250: i/o timeout'
            )
            raise statuses.refusal(500, "InternalError", message)
        for status in pod["status"].get("containerStatuses", []):
            waiting = status["state"].get("waiting")
            if status["name"] == container and waiting:
                pulled = waiting["reason"] not in ("ErrImagePull", "ImagePullBackOff")
                why = waiting["reason"] if pulled else "image can't be pulled"
                raise statuses.waiting_to_start(container, name, why)
        node_pod = self._pods.get(pod["metadata"]["uid"])
        if node_pod is None or not pod["status"].get("containerStatuses"):
            raise statuses.waiting_to_start(container, name, "ContainerCreating")
        return node_pod.log

    def close(self) -> None:
        """End every process."""
        for pod in list(self._pods.values()):
            pod.stop()
        for thread in list(self._threads):
            thread.join()

    def _collect(self, uid: str) -> None:
        if self.collects:
            for key in self._objects.owned(uid):
                self._objects.remove(key)

    def _start(self, plan: Callable[[], None]) -> None:
        def guarded() -> None:
            with suppress(Refusal, Stopped):  # the pod is gone
                plan()

        thread = threading.Thread(target=guarded)
        self._threads.append(thread)
        thread.start()
