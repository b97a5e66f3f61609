"""What is told of the pods of a task while they live."""

from __future__ import annotations

from podenv.pods.client import Json


class PodEvents:
    """Is told what happens to the pods of one execution; this one ignores it.

    An exception that leaves one of these ends the pod as any other end of the task does.
    """

    wants_end = False
    """True if `ended` needs the pod's last status, which comes a second after the result."""

    def line(self, line: str) -> None:
        """The container's log has a line."""

    def note(self, text: str) -> None:
        """podenv says something of the pod."""

    def created(self, pod: Json) -> None:
        """The pod exists; nothing was waited for yet. Also for a pod that is adopted."""

    def started(self, pod: Json) -> None:
        """The container runs, or has ended already."""

    def ended(self, pod: Json, *, failed: bool) -> None:
        """The pod brought a result, or never will; it still exists."""

    def cleaned(self, pod: Json) -> None:
        """The pod was deleted or left."""
