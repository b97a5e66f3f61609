"""Kubernetes objects as they were rendered, beside what is in the cluster."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from podenv.catalogue import quantity
from podenv.errors import ResourceError

Json = dict[str, Any]
Path = tuple[str | int, ...]
ABSENT = object()
# What a list of objects is told apart by, as Kubernetes merges them.
_KEYS = ("name", "mountPath", "key", "ip", "port")
_QUANTITIES = {"requests", "limits", "hard", "default", "defaultRequest", "min", "max", "capacity", "sizeLimit"}
_FALSE_IS_NOTHING = {"readOnly", "hostNetwork", "hostPID", "hostIPC", "stdin", "stdinOnce", "tty"}
# Parts of Kubernetes and of its additions, which write into objects of others on purpose.
_SYSTEM = re.compile(r"^(kube-(apiserver|controller|scheduler)|kubelet|helm$|podenv$)|controller|operator")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(text: str) -> list[Json]:
    """The objects of a manifest as Helm renders it, without hooks and empty documents."""
    return [one for one in yaml.load_all(text, _LOADER) if one and not _is_hook(one)]


def _is_hook(item: Json) -> bool:
    return "helm.sh/hook" in (item.get("metadata", {}).get("annotations") or {})


def identity(item: Mapping[str, Any]) -> tuple[str, str, str]:
    """What tells an object of one release from another: group, kind and name (the version is a way to read it)."""
    return item["apiVersion"].rpartition("/")[0], item["kind"], item["metadata"]["name"]


def title(item: Mapping[str, Any]) -> str:
    """An object for people: ``PodTemplate/etl``."""
    return f"{item['kind']}/{item['metadata']['name']}"


def changes(rendered: Any, live: Any, path: Path = ()) -> Iterator[tuple[Path, Any, Any]]:
    """Where ``live`` is not as rendered: path, rendered and live value (`ABSENT` where there is none).

    What the API server fills in by itself is no change; fields that others have added to a map are not seen here.
    """
    if rendered is None or path == ("status",):
        return
    if isinstance(rendered, dict) and isinstance(live, dict):
        for key, value in rendered.items():
            yield from changes(value, live.get(key, ABSENT), (*path, key))
    elif isinstance(rendered, list) and isinstance(live, list):
        yield from _list_changes(rendered, live, path)
    elif not (_same(rendered, live, path) or (live is ABSENT and _is_nothing(rendered, path[-1:] and path[-1]))):
        yield path, rendered, live


def _list_changes(rendered: list[Any], live: list[Any], path: Path) -> Iterator[tuple[Path, Any, Any]]:
    key = _key_of(rendered, live)
    if key is None:
        if len(rendered) != len(live):
            yield path, rendered, live
            return
        for number, (one, other) in enumerate(zip(rendered, live, strict=True)):
            yield from changes(one, other, (*path, number))
        return
    here, there = ({one[key]: one for one in side} for side in (rendered, live))
    for name in here | there:
        if name not in here:
            yield (*path, name), ABSENT, there[name]
        else:
            yield from changes(here[name], there.get(name, ABSENT), (*path, name))


def _key_of(*sides: list[Any]) -> str | None:
    """The field that every element has, and no two on one side alike."""

    def tells_apart(key: str, side: list[Any]) -> bool:
        values = [one.get(key) if isinstance(one, dict) else None for one in side]
        return all(isinstance(value, str | int) for value in values) and len(set(values)) == len(values)

    return next((key for key in _KEYS if any(sides) and all(tells_apart(key, side) for side in sides)), None)


def _same(rendered: Any, live: Any, path: Path) -> bool:
    if live is ABSENT:
        return False
    if rendered == live and isinstance(rendered, bool) == isinstance(live, bool):
        return True
    if not isinstance(rendered, str | int | float) or not isinstance(live, str | int | float):
        return False
    if not _QUANTITIES & {str(step) for step in path[-2:]}:
        return False
    try:
        return quantity.parse(str(rendered)) == quantity.parse(str(live))
    except ResourceError:
        return False


def _is_nothing(value: Any, key: object) -> bool:
    """What the API server does not keep: what is empty, and a false that means the same as nothing."""
    if isinstance(value, dict):
        return all(_is_nothing(one, name) for name, one in value.items())
    return value in ("", [], None) or (value is False and key in _FALSE_IS_NOTHING)


def additions(rendered: Json, live: Json) -> list[Path]:
    """Fields that somebody (not Helm, not a controller) has added to ``live``: paths into it, the outermost only."""
    found: dict[Path, None] = {}
    for entry in live.get("metadata", {}).get("managedFields") or ():
        if _SYSTEM.search(entry.get("manager", "")) or entry.get("subresource") or "fieldsV1" not in entry:
            continue
        for path in _added(entry["fieldsV1"], rendered, live, ()):
            if path[0] != "status":
                found[path] = None
    return sorted(found, key=str)


def _added(fields: Json, rendered: Any, live: Any, path: Path) -> Iterator[Path]:
    """Walk a set of fields (https://kubernetes.io/docs/reference/using-api/server-side-apply) beside both objects."""
    for token, inner in fields.items():
        if token == ".":  # noqa: S105 - no password
            continue
        step = _step(token, live)
        if step is None:
            continue  # gone in the meantime
        mine = _find(token, rendered)
        if mine is ABSENT:
            yield (*path, step)
        elif inner and mine is not None:
            yield from _added(inner, mine, live[step], (*path, step))


def _step(token: str, live: Any) -> str | int | None:
    """The key or the index in ``live`` that a token of a set of fields stands for."""
    kind, _, rest = token.partition(":")
    if kind == "f":
        return rest if isinstance(live, dict) and rest in live else None
    if not isinstance(live, list):
        return None
    if kind == "i":
        return int(rest) if int(rest) < len(live) else None
    wanted = json.loads(rest)
    return next((number for number, one in enumerate(live) if _matches(kind, wanted, one)), None)


def _find(token: str, rendered: Any) -> Any:
    kind, _, rest = token.partition(":")
    if kind == "f":
        return rendered.get(rest, ABSENT) if isinstance(rendered, dict) else ABSENT
    if not isinstance(rendered, list):
        return ABSENT
    if kind == "i":
        return rendered[int(rest)] if int(rest) < len(rendered) else ABSENT
    wanted = json.loads(rest)
    return next((one for one in rendered if _matches(kind, wanted, one)), ABSENT)


def _matches(kind: str, wanted: Any, one: Any) -> bool:
    """Whether an element of a list has the keys, or is the value, that a token names."""
    if kind == "v":
        return bool(one == wanted)
    # A key that is not rendered has its default there, like the protocol of a port.
    return isinstance(one, dict) and all(one.get(key, value) == value for key, value in wanted.items())


def removal(paths: list[Path]) -> list[Json]:
    """A JSON patch that removes the fields, the later elements of a list first."""
    pointers = sorted(paths, key=lambda path: [(isinstance(step, int), step) for step in path], reverse=True)
    return [{"op": "remove", "path": "".join(f"/{_escaped(step)}" for step in path)} for path in pointers]


def _escaped(step: str | int) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")


def dotted(path: Path) -> str:
    """A path for people: ``template.spec.containers.base.image``."""
    return ".".join(map(str, path))
