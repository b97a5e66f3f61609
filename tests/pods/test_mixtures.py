"""Troubles rarely come alone: whatever a server and its node do for a while, a task loses, doubles and leaves nothing.

``PODENV_MIXTURES`` is how many mixtures are tried; each number is one mixture, always the same.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from tests.pods import functions, statuses
from tests.pods.apiserver import ApiServer
from tests.pods.engine import Engine, until

BYTES = [0, 1, 20, 100, 400, 2000]
REQUESTS = ["POST .*/pods$", "POST .*/secrets$", "GET .*watch=", "GET .*/log", "GET .*/pods/[^/]*$", "DELETE", "."]


def trouble(choose: random.Random, engine: Engine, server: ApiServer) -> dict[str, Any]:
    """One thing that goes wrong and passes."""

    def expire() -> None:
        engine.token = f"t{len(server.requests)}"
        server.tokens = {engine.token}

    refusals = [
        statuses.unavailable(),
        statuses.too_many(),
        statuses.refusal(500, "InternalError", "etcdserver: leader changed"),
        statuses.refusal(504, "Timeout", "request did not complete within requested timeout"),
    ]
    kinds: list[dict[str, Any]] = [
        {"drop": True},
        {"lose_answer": True},
        {"refuse": choose.choice(refusals)},
        {"before": expire},
        {"after": server.cut},
        {"cut": choose.choice(BYTES)},
        {"finish": choose.choice(BYTES)},
        {"silence": choose.choice(BYTES)},
        {"trickle": (choose.choice([1, 3, 50]), 0.0005)},
        {"delay": 0.2},
    ]
    return choose.choice(kinds)


@pytest.mark.parametrize("number", range(int(os.environ.get("PODENV_MIXTURES", "25"))))
def test_a_mixture_of_troubles_costs_a_task_nothing(engine: Engine, server: ApiServer, number: int) -> None:
    choose = random.Random(number)
    planned = []
    for _ in range(choose.randint(1, 4)):
        request, skip, times = choose.choice(REQUESTS), choose.choice([0, 0, 1, 2]), choose.choice([1, 1, 2])
        fields = trouble(choose, engine, server)
        planned.append((request, skip, times, fields))
        server.trouble(request, skip=skip, times=1 if "before" in fields else times, **fields)
    lines, pause, size = choose.choice([5, 40]), choose.choice([0.0, 0.005]), choose.choice([0, 20_000])
    follow, payload = choose.choice([True, True, False]), choose.choice(["env", "secret"])
    print(planned, lines, pause, size, follow, payload)
    value = engine.call(functions.prints_and_returns, lines, pause, size, follow=follow, payload=payload)
    assert value == functions.noise(size)
    assert engine.told.lines == ([str(line) for line in range(lines)] if follow else [])
    assert [step.split()[0] for step in engine.told.steps] == ["created", "started", "succeeded", "cleaned"]
    until(lambda: server.pods() == [] and server.objects.chosen("secrets", "s") == [])
