"""The queues in which tasks of the environments wait for their turn."""

from __future__ import annotations

from podenv.doctor.finding import CheckFailed, NotHere, State
from podenv.doctor.subject import Subject
from podenv.errors import AccessRefused

_GROUP = "/apis/kueue.x-k8s.io"


def named(subject: Subject) -> dict[str, str]:
    """The queues that environments name, by the environment's name."""
    return {one.name: one.spec.kueue.queue for one in subject.inhabitants if one.spec.kueue.queue}


def queues(subject: Subject) -> tuple[State, str]:
    """The LocalQueue that each environment names is in its namespace, and Kueue in the cluster."""
    wanted = named(subject)
    asked = subject.cluster()
    try:
        group = asked.get(_GROUP)
        if group is None:
            raise CheckFailed(
                f"a queue is named by {', '.join(sorted(wanted))}, and Kueue is not in the cluster: tasks do not wait. "
                "Install Kueue, with its integration `pod`, or remove kueue.queue."
            )
        version = group["preferredVersion"]["groupVersion"]
        missing = [
            f"{queue} in {place}"
            for name, queue in sorted(wanted.items())
            if asked.get(f"/apis/{version}/namespaces/{(place := subject.places[name])}/localqueues/{queue}") is None
        ]
    except AccessRefused:
        raise NotHere("you may not look at the queues") from None
    if missing:
        raise CheckFailed(
            f"there is no LocalQueue {', '.join(missing)}: Kueue would hold the tasks for ever. Make it "
            "(`kubectl get clusterqueues` shows what it can draw on), or correct kueue.queue."
        )
    return State.OK, f"{', '.join(sorted(set(wanted.values())))} of Kueue"
