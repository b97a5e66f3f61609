"""The objects of a simulated cluster: versions, selectors, patches, and the changes that watches tell."""

from __future__ import annotations

import copy
import re
import secrets
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.pods import statuses

Json = dict[str, Any]
Key = tuple[str, str, str]  # resource, namespace, name
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def stamp(moment: datetime | None = None) -> str:
    """A time as the API writes it, in whole seconds; now without ``moment``."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Change:
    """One step in an object's life: no ``before`` when it was created, no ``after`` when it is gone."""

    version: int
    key: Key
    before: Json | None
    after: Json | None


class Objects:
    """What the cluster holds. What goes in and comes out are copies."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.changes: list[Change] = []
        self.oldest = 0  # changes of earlier versions are forgotten: 410
        self.version = 100
        self._held: dict[Key, Json] = {}

    def create(self, resource: str, namespace: str, body: Json) -> Json:
        """The new object. Raises `Refusal`."""
        made = copy.deepcopy(body)
        metadata = made.setdefault("metadata", {})
        if "name" not in metadata:
            metadata["name"] = metadata.get("generateName", "") + secrets.token_hex(3)[:5]
        name = metadata["name"]
        if not _NAME.fullmatch(name):
            raise statuses.invalid(statuses.KINDS[resource], name, "metadata.name", f'Invalid value: "{name}"')
        made = {"kind": statuses.KINDS[resource], "apiVersion": "v1", **made}
        with self.changed:
            if (resource, namespace, name) in self._held:
                raise statuses.already_exists(resource, name)
            metadata |= {"namespace": namespace, "uid": str(uuid.uuid4()), "creationTimestamp": stamp()}
            metadata["managedFields"] = [{"manager": "test", "operation": "Update", "fieldsType": "FieldsV1"}]
            return self._keep((resource, namespace, name), made)

    def find(self, key: Key) -> Json | None:
        """The object; None where there is none."""
        with self.changed:
            return copy.deepcopy(self._held.get(key))

    def get(self, key: Key) -> Json:
        """The object. Raises `Refusal`."""
        found = self.find(key)
        if found is None:
            raise statuses.not_found(key[0], key[2])
        return found

    def chosen(self, resource: str, namespace: str, selects: Callable[[Json], bool] = lambda _: True) -> list[Json]:
        """The objects of a namespace, by name."""
        with self.changed:
            held = [(key, item) for key, item in sorted(self._held.items()) if key[:2] == (resource, namespace)]
            return [copy.deepcopy(item) for _, item in held if selects(item)]

    def edit(self, key: Key, change: Callable[[Json], None]) -> Json:
        """The object after ``change`` altered it. Raises `Refusal`."""
        with self.changed:
            edited = self.get(key)
            change(edited)
            return self._keep(key, edited)

    def remove(self, key: Key) -> None:
        """Forget the object, and tell who watches."""
        with self.changed:
            before = self._held.pop(key, None)
            if before is not None:
                self.version += 1
                self.changes.append(Change(self.version, key, before, None))
                self.changed.notify_all()

    def owned(self, uid: str) -> list[Key]:
        """What belongs to the object of this uid."""
        with self.changed:
            return [
                key
                for key, item in self._held.items()
                if any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences", []))
            ]

    def forget(self) -> None:
        """Hold no changes older than now, as after a compaction."""
        with self.changed:
            self.oldest = self.version

    def _keep(self, key: Key, item: Json) -> Json:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        before = self._held.get(key)
        self._held[key] = item
        self.changes.append(Change(self.version, key, before, copy.deepcopy(item)))
        self.changed.notify_all()
        return copy.deepcopy(item)


def merge(base: Any, patch: Any) -> Any:
    """A merge patch, and a strategic one where it touches no list of things with names."""
    if not isinstance(base, dict) or not isinstance(patch, dict):
        return patch
    merged = dict(base)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name, {}), value)
    return merged


def json_patch(item: Any, operations: list[Json]) -> None:
    """A JSON patch (RFC 6902), as far as podenv uses it. Raises `Refusal`."""
    for operation in operations:
        *path, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        place = item
        for part in path:
            place = place.get(part, {})
        if operation["op"] == "add":
            place[last] = operation["value"]
        elif last not in place or (operation["op"] == "test" and place[last] != operation["value"]):
            raise statuses.refusal(422, "Invalid", "the server rejected our request due to an error in our request")
        elif operation["op"] == "remove":
            del place[last]


def selector(labels: str, fields: str) -> Callable[[Json], bool]:
    """True for the objects that both selectors choose. Raises `Refusal`."""
    tests = [_label(item) for item in _split(labels)] + [_field(item) for item in _split(fields)]
    return lambda item: all(test(item) for test in tests)


def _split(selectors: str) -> Iterator[str]:
    yield from (item.strip() for item in re.split(r",(?![^(]*\))", selectors) if item.strip())


def _label(text: str) -> Callable[[Json], bool]:
    if choice := re.fullmatch(r"(\S+) (in|notin) \(([^)]*)\)", text):
        name, operator, values = choice[1], choice[2], {value.strip() for value in choice[3].split(",")}
        return lambda item: (_labels(item).get(name) in values) == (operator == "in")
    if match := re.fullmatch(r"([\w./-]+)(!=|==|=)([\w.-]*)", text):
        name, operator, value = match.groups()
        return lambda item: (_labels(item).get(name) == value) == (operator != "!=")
    if match := re.fullmatch(r"(!?)([\w./-]+)", text):
        absent, name = match.groups()
        return lambda item: (name in _labels(item)) == (not absent)
    raise statuses.bad_request(f"unable to parse requirement: {text}")


def _labels(item: Json) -> Json:
    return dict(item["metadata"].get("labels") or {})


def _field(text: str) -> Callable[[Json], bool]:
    match = re.fullmatch(r"([\w.]+)(!=|==|=)(.*)", text)
    if match is None:
        raise statuses.bad_request(f'invalid selector: "{text}"; can\'t understand "{text}"')

    def test(item: Json) -> bool:
        value: Any = item
        for part in match[1].split("."):
            value = (value or {}).get(part)
        return ((value or "") == match[3]) == (match[2] != "!=")

    return test
