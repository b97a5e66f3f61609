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
        Check("cluster", lambda: pods.cluster(subject)),
        Check("your rights", lambda: pods.own_rights(subject)),
        Check("releases", lambda: pods.releases(subject)),
        Check("queues", lambda: queues.queues(subject)),
        Check("Airflow's rights", lambda: pods.airflow_rights(subject)),
        Check("Airflow's pods", lambda: pods.airflow_pods(subject)),
    ]


def examine(subject: Subject, *, limit: float = ALL_CHECKS_SECONDS) -> list[Finding]:
    """What all checks find. A cached answer that several of them need is fetched once."""
    return run(checks(subject), limit=limit)
