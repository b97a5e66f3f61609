"""A pod as its node sees it: the steps of its life, taken by hand or by a real process."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.pods.logs import ContainerLog
from tests.pods.objects import Json, Key, Objects, stamp
from tests.pods.statuses import Refusal

CONTAINER = "base"


class Stopped(Exception):
    """The pod is no longer on the node."""


class NodePod:
    """One pod; each step raises `Refusal` or `Stopped` when the pod is gone. ``gone`` is told its uid then.

    ``going``: seconds from the end of its process until the pod is gone, once it was deleted.
    ``status_delay``: seconds from the end of its process until the status says so.
    """

    def __init__(self, objects: Objects, key: Key, *, gone: Callable[[str], None]) -> None:
        self.key = key
        self.name = key[2]
        self.uid = str(objects.get(key)["metadata"]["uid"])
        self.log = ContainerLog()
        self.going = 0.05
        self.status_delay = 0.0
        self.stopped = threading.Event()
        self.listeners: list[Callable[[bytes | None], None]] = []  # attached: what is printed, None at the end
        self._objects = objects
        self._gone = gone
        self._process: subprocess.Popen[bytes] | None = None
        self._started = stamp()

    @property
    def object(self) -> Json:
        """The pod as the API shows it. Raises `Refusal`."""
        return self._objects.get(self.key)

    def edit(self, change: Callable[[Json], None]) -> Json:
        """The pod after ``change``; another pod of its name is left alone."""

        def own(item: Json) -> None:
            if item["metadata"]["uid"] != self.uid:
                raise Stopped
            change(item)

        return self._objects.edit(self.key, own)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        if self.stopped.wait(seconds):
            raise Stopped

    def until(self, event: threading.Event) -> None:
        """Wait until the test says so."""
        while not event.wait(0.02):
            self.wait(0)

    def schedule(self, node: str = "node-1") -> None:
        """A node takes it, and begins to create the container."""

        def bind(item: Json) -> None:
            item["spec"]["nodeName"] = node
            _condition(item, "PodScheduled", "True")

        self.edit(bind)
        self.waiting("ContainerCreating")

    def unschedulable(self, message: str) -> None:
        """No node takes it."""
        self.edit(lambda item: _condition(item, "PodScheduled", "False", "Unschedulable", message))

    def gate(self, *names: str, queue: str = "") -> None:
        """Others hold it back from the scheduler; without ``names`` they let it in. ``queue`` is that of Kueue."""

        def hold(item: Json) -> None:
            item["spec"]["schedulingGates"] = [{"name": name} for name in names]
            if queue:
                item["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = queue
            words = "Scheduling is blocked due to non-empty scheduling gates"
            _condition(item, "PodScheduled", "False", *(("SchedulingGated", words) if names else ("Unschedulable", "")))

        self.edit(hold)

    def waiting(self, reason: str, message: str = "") -> None:
        """The container does not run, for this ``reason``."""
        self._set_state({"waiting": {"reason": reason, **({"message": message} if message else {})}}, "Pending")

    def start(self) -> None:
        """The container runs."""
        self._started = stamp()
        self._set_state({"running": {"startedAt": self._started}}, "Running")

    def write(self, text: str | bytes, at: float | None = None) -> None:
        """The container prints; ``at``: seconds since 1970."""
        self.log.write(text, at)

    def end(self, code: int = 0, reason: str | None = None, message: str = "", *, phase: str | None = None) -> None:
        """The container ends; ``message`` is its termination message."""
        self.log.end()
        words = {"message": message} if message else {}
        ended: Json = {"exitCode": code, "reason": reason or ("Error" if code else "Completed"), **words}
        ended |= {"startedAt": self._started, "finishedAt": stamp()}
        self._set_state({"terminated": ended}, phase or ("Failed" if code else "Succeeded"))

    def fail(self, reason: str, message: str) -> None:
        """The cluster gives the pod up, as in an eviction; the container's state stays as it was last."""
        self.log.end()
        self.edit(lambda item: item["status"].update(phase="Failed", reason=reason, message=message))

    def disrupt(self, reason: str, message: str) -> None:
        """The cluster says why it is about to take the pod away (Kubernetes 1.26 and newer)."""
        self.edit(lambda item: _condition(item, "DisruptionTarget", "True", reason, message))

    def not_ready(self) -> None:
        """Its node does not answer."""
        self.edit(lambda item: _condition(item, "Ready", "False"))

    def tell(self, reason: str, message: str) -> None:
        """An event about the pod."""
        namespace = self.key[1]
        about = {"kind": "Pod", "namespace": namespace, "name": self.name, "uid": self.uid, "apiVersion": "v1"}
        event = {"involvedObject": about, "reason": reason, "message": message, "type": "Normal"}
        self._objects.create("events", namespace, {"metadata": {"generateName": f"{self.name}."}, **event})

    def vanish(self) -> None:
        """The pod is gone, without another word."""
        self.stop()
        with suppress(Refusal):
            if self.object["metadata"]["uid"] == self.uid:
                self._objects.remove(self.key)
                self._gone(self.uid)

    def mark_deleted(self, seconds: int) -> Json:
        """It is to end within ``seconds``."""

        def mark(item: Json) -> None:
            metadata = item["metadata"]
            metadata.setdefault("deletionTimestamp", stamp(datetime.now(UTC) + timedelta(seconds=seconds)))
            metadata.setdefault("deletionGracePeriodSeconds", seconds)

        return self.edit(mark)

    def terminate(self, seconds: float) -> None:
        """End its process: SIGTERM, and SIGKILL after ``seconds``; then the pod is gone."""
        process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(max(seconds, 0.01))
            except subprocess.TimeoutExpired:
                _kill(process)
            process.wait()
        elif "running" in self._state():
            self.end(143)
        self.log.end()
        self.stopped.wait(self.going)
        self.vanish()

    def run(self) -> None:
        """Run the container's command with this Python; its log and its termination message are the pod's."""
        container = next(one for one in self.object["spec"]["containers"] if one["name"] == CONTAINER)
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "termination-log"
            env = self._environment(container, str(written))
            argv = [sys.executable, *container["command"][1:], *container.get("args", [])]
            self.start()
            with subprocess.Popen(
                argv, env=env, cwd=folder, stdin=subprocess.PIPE if container.get("stdin") else subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            ) as self._process:  # fmt: skip
                if self.stopped.is_set():
                    _kill(self._process)
                assert self._process.stdout is not None
                for line in self._process.stdout:
                    self.log.write(line)
                    for listener in list(self.listeners):
                        listener(line)
                for listener in list(self.listeners):
                    listener(None)
            code = self._process.returncode
            message = written.read_text() if written.exists() else ""
        self.log.end()
        self.wait(self.status_delay)
        self.end(code if code >= 0 else 128 - code, message=message)

    def feed(self, data: bytes | None) -> None:
        """Give its process input; None ends the input."""
        while self._process is None or self._process.stdin is None:
            self.wait(0.01)
        with suppress(OSError, ValueError):  # it has ended
            if data is None:
                self._process.stdin.close()
            else:
                self._process.stdin.write(data)
                self._process.stdin.flush()

    def stop(self) -> None:
        """End it now."""
        self.stopped.set()
        self.log.end()
        if self._process is not None:
            _kill(self._process)

    def _environment(self, container: Json, termination_log: str) -> dict[str, str]:
        env = {"PATH": os.environ["PATH"]}
        for item in container.get("env", []):
            source = (item.get("valueFrom") or {}).get("secretKeyRef")
            value = self._secret(source["name"], source["key"]) if source else item.get("value", "")
            env[item["name"]] = termination_log if value == container["terminationMessagePath"] else value
        return env

    def _secret(self, name: str, key: str) -> str:
        while (secret := self._objects.find(("secrets", self.key[1], name))) is None:
            self.waiting("CreateContainerConfigError", f'secret "{name}" not found')
            self.wait(0.05)
        return base64.b64decode(secret["data"][key]).decode()

    def _state(self) -> Json:
        with suppress(Refusal):
            for status in self.object["status"].get("containerStatuses", []):
                if status["name"] == CONTAINER:
                    return dict(status["state"])
        return {}

    def _set_state(self, state: Json, phase: str) -> None:
        runs = "running" in state

        def set_it(item: Json) -> None:
            image = next(one.get("image", "") for one in item["spec"]["containers"] if one["name"] == CONTAINER)
            status: Json = {"name": CONTAINER, "state": state, "lastState": {}, "ready": runs, "restartCount": 0}
            item["status"]["containerStatuses"] = [{**status, "image": image, "imageID": "", "started": runs}]
            item["status"]["phase"] = phase
            _condition(item, "Ready", "True" if runs else "False", *(() if runs else ("ContainersNotReady",)))

        self.edit(set_it)


def _condition(item: Json, kind: str, status: str, reason: str = "", message: str = "") -> None:
    conditions: list[Any] = [one for one in item["status"].get("conditions", []) if one["type"] != kind]
    words = {name: value for name, value in (("reason", reason), ("message", message)) if value}
    made = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": stamp(), **words}
    item["status"]["conditions"] = [*conditions, made]


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
