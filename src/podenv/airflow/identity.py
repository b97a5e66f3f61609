"""Whose a pod is: which Airflow made it, for which task in which run. Nothing else is adopted or deleted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from podenv.airflow import settings
from podenv.catalogue import names

_HASH_DIGITS = 32


def labels(context: Mapping[str, Any]) -> dict[str, str]:
    """The labels of the pods of this task in this run, the same for each of its tries.

    When the run began is part of it: two Airflows that run the same DAG on the same schedule have runs of the same
    name, and a run that is cleared as a whole begins anew.
    """
    ti, run = context["ti"], context.get("dag_run")
    began = getattr(run, "start_date", None)
    airflow = settings.airflow_id()
    parts = [airflow, ti.dag_id, ti.task_id, ti.run_id, ti.map_index, began.isoformat() if began else ""]
    owner = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_HASH_DIGITS]
    return {names.AIRFLOW_LABEL: airflow, names.OWNER_LABEL: owner}


def selector(labels: Mapping[str, str]) -> str:
    """The label selector for exactly these pods."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def call_key() -> bytes:
    """The key under which a pod's annotation holds the hash of its Call, which could be guessed without one.

    Airflow's Fernet key; where there is none, a known one serves as long as the Call itself stands in the pod, and else
    there is none: the pod of an earlier try is then not adopted.
    """
    key = settings.fernet_key()
    return hashlib.sha256(b"podenv call " + key).digest() if key or settings.payload() == "env" else b""
