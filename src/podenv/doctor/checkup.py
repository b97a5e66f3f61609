"""All checks, in the order in which their findings are shown."""

from __future__ import annotations

from podenv.doctor import here, pods, queues
from podenv.doctor.finding import ALL_CHECKS_SECONDS, Check, Finding, run
from podenv.doctor.subject import Subject


def checks(subject: Subject) -> list[Check]:
    """The checks of ``subject``."""
    return [
        Check("versions", here.versions),
        Check("uv", here.uv),
        Check("catalogue", here.catalogue),
        Check("locks", lambda: here.locks(subject)),
        Check("Python", lambda: here.interpreters(subject)),
        Check("package index", lambda: here.index(subject)),
        Check("Airflow's catalogue", lambda: here.airflow_view(subject)),
        Check("builder", lambda: pods.builders(subject)),
        Check("registry", lambda: pods.registry(subject)),
        Check("helm", lambda: pods.helm_program(subject)),
        *(check for one in subject.clusters() for check in _of_cluster(one)),
    ]


def _of_cluster(subject: Subject) -> list[Check]:
    """The checks of one cluster; those of one that environments name say its context."""
    where = f" ({subject.here})" if subject.here else ""
    return [
        Check(f"cluster{where}", lambda: pods.cluster(subject)),
        Check(f"your rights{where}", lambda: pods.own_rights(subject)),
        Check(f"releases{where}", lambda: pods.releases(subject)),
        *([Check(f"queues{where}", lambda: queues.queues(subject))] if queues.named(subject) else []),
        Check(f"Airflow's rights{where}", lambda: pods.airflow_rights(subject)),
        Check(f"Airflow's pods{where}", lambda: pods.airflow_pods(subject)),
    ]


def examine(subject: Subject, *, limit: float = ALL_CHECKS_SECONDS) -> list[Finding]:
    """What all checks find. A cached answer that several of them need is fetched once."""
    return run(checks(subject), limit=limit)
