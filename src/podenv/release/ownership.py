"""Where a live object differs from the rendered one, and who made it so: read from its managedFields.

What the API server or an admission policy makes of the fields that a release sent is not a difference: the release
still owns those fields. What other field managers (controllers, operators, Rancher ...) add is theirs, and is not a
difference either. How ownership is written down:
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from podenv.catalogue import names
from podenv.catalogue.values import merge
from podenv.release import manifest
from podenv.release.manifest import ABSENT, Json, Path, Step

# A person at a terminal. Any other manager is taken for a program that has its reasons.
_BY_HAND = re.compile(r"(kubectl|oc|k9s)\b")
_RELEASE_NAME = ("metadata", "annotations", "meta.helm.sh/release-name")
_ENVIRONMENT = ("metadata", "labels", names.ENVIRONMENT_LABEL)


@dataclass(frozen=True)
class Difference:
    """A field that is missing, that another manager changed, or that a person added by hand."""

    path: Path
    kind: Literal["missing", "changed", "added"]
    manager: str = ""


def differences(rendered: Json, live: Json) -> list[Difference]:
    """How a live object differs from the rendered one."""
    return [*_changes(rendered, live), *additions(rendered, live)]


def additions(rendered: Json, live: Json) -> list[Difference]:
    """Fields of ``live`` that a person added by hand and no other manager has a part in: the outermost paths only."""
    found: dict[Path, Difference] = {}
    owners = Owners(live)
    for number, (manager, fields) in enumerate(owners.fields):
        if _BY_HAND.match(manager) and manager not in owners.release:
            others = [theirs for index, (_, theirs) in enumerate(owners.fields) if index != number]
            for path in _added(fields, others, rendered, live):
                if path[0] != "status":
                    found[path] = Difference(path, "added", manager)
    return sorted(found.values(), key=lambda one: str(one.path))


def sent(live: Json) -> Json | None:
    """The object as it was last applied, as far as it still is so; None where no server-side apply made it."""
    managers = Owners(live).release
    entries = [
        entry["fieldsV1"]
        for entry in live["metadata"].get("managedFields") or ()
        if entry.get("operation") == "Apply" and entry["manager"] in managers and not entry.get("subresource")
    ]
    if not entries:
        return None
    found: Json = {"apiVersion": live["apiVersion"], "kind": live["kind"]}
    for fields in entries:
        found = merge(found, _extracted(fields, live))
    found["metadata"] = {"name": live["metadata"]["name"], **found.get("metadata", {})}
    return found


def _extracted(fields: Json, live: Any) -> Any:
    """What a manager owns of ``live``."""
    if not fields.keys() - {"."}:
        return live
    steps = [(step, inner) for token, inner in fields.items() if (step := _step(token, live)) is not None]
    if isinstance(live, dict):
        return {step: _extracted(inner, live[step]) for step, inner in steps}
    return [_extracted(inner, live[step]) for step, inner in sorted(steps, key=lambda one: one[0])]


def _changes(rendered: Json, live: Json) -> Iterator[Difference]:
    owners = Owners(live)
    for path, sent, actual in manifest.changes(rendered, live):
        whole, part = owners.of(path)
        if sent is ABSENT:  # one more in a list: it has an owner of its own (see `additions`) where the list has keys
            if not whole and part and not part & owners.release:
                yield Difference(path[:-1], "changed", _name(part))
        elif owners.release & (whole or (part if actual is not ABSENT else frozenset())):
            continue
        elif actual is ABSENT and not whole and not part - owners.release:
            yield Difference(path, "missing")
        else:
            yield Difference(path, "changed", _name(whole or part))


def _name(managers: frozenset[str]) -> str:
    return ", ".join(sorted(managers))


class Owners:
    """Who owns which field of a live object; ``release`` are the managers that the release was applied by."""

    def __init__(self, live: Json) -> None:
        self.fields = [
            (entry.get("manager", ""), entry["fieldsV1"])
            for entry in live.get("metadata", {}).get("managedFields") or ()
            if "fieldsV1" in entry and not entry.get("subresource")
        ]
        # Helm sets this annotation in the request that sends the object; a GitOps tool does so under its own name.
        # What was applied without Helm has the label alone.
        self.release = self.of(_RELEASE_NAME)[0] or self.of(_ENVIRONMENT)[0] or frozenset({"helm"})

    def of(self, path: Path) -> tuple[frozenset[str], frozenset[str]]:
        """Who owns the field itself, and who owns all of something that it is a part of, like an atomic list."""
        whole, part = set(), set()
        for manager, fields in self.fields:
            depth, leaf = _descend(fields, path)
            if depth == len(path):
                whole.add(manager)
            elif leaf and depth:
                part.add(manager)
        return frozenset(whole), frozenset(part)


def _descend(fields: Json, path: Path) -> tuple[int, bool]:
    """How many steps of ``path`` a set of fields has, and whether it has nothing below the last of them."""
    depth = 0
    for step in path:
        inner = next((below for token, below in fields.items() if _stands_for(token, step)), None)
        if inner is None:
            break
        fields, depth = inner, depth + 1
    return depth, not fields.keys() - {"."}


def _stands_for(token: str, step: Step) -> bool:
    """True if a token of a set of fields names this step of a path, as `manifest.changes` writes it."""
    kind, _, rest = token.partition(":")
    if kind == "f":
        return rest == step
    if kind == "k":
        return step in json.loads(rest).values()
    return kind == "i" and rest == str(step)


def _added(fields: Json, others: list[Json], rendered: Any, live: Any, path: Path = ()) -> Iterator[Path]:
    """Walk a manager's set of fields beside those of all others: paths of what it alone has added to ``rendered``."""
    for token, inner in fields.items():
        step = _step(token, live)
        if step is None:  # gone in the meantime, or "." for the parent itself
            continue
        sent = _find(token, rendered)
        shared = [one[token] for one in others if token in one]
        if sent is ABSENT and not shared:
            yield (*path, step)
        elif inner and sent is not None:
            yield from _added(inner, shared, sent, live[step], (*path, step))


def _step(token: str, live: Any) -> Step | None:
    """The key or the index in ``live`` that a token of a set of fields stands for."""
    kind, _, rest = token.partition(":")
    if kind == "f":
        return rest if isinstance(live, dict) and rest in live else None
    if not isinstance(live, list):
        return None
    if kind == "i":
        return int(rest) if int(rest) < len(live) else None
    key = json.loads(rest)
    return next((number for number, one in enumerate(live) if _matches(kind, key, one)), None)


def _find(token: str, rendered: Any) -> Any:
    """The value in ``rendered`` that a token of a set of fields stands for; `ABSENT` where it has none."""
    kind, _, rest = token.partition(":")
    if kind == "f":
        return rendered.get(rest, ABSENT) if isinstance(rendered, dict) else ABSENT
    if not isinstance(rendered, list):
        return ABSENT
    if kind == "i":
        return rendered[int(rest)] if int(rest) < len(rendered) else ABSENT
    key = json.loads(rest)
    return next((one for one in rendered if _matches(kind, key, one)), ABSENT)


def _matches(kind: str, key: Any, element: Any) -> bool:
    """True if an element of a list has the keys, or is the value, that a token names."""
    if kind == "v":
        return bool(element == key)
    # A key that is not rendered has its default there, like the protocol of a port.
    return isinstance(element, dict) and all(element.get(name, value) == value for name, value in key.items())
