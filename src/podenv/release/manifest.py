"""Kubernetes objects as they were rendered, beside what is in the cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from podenv.catalogue import quantity
from podenv.errors import ResourceError

Json = dict[str, Any]
Step = str | int
Path = tuple[Step, ...]
ABSENT = object()
# What a list of objects is told apart by, as Kubernetes merges them.
_KEYS = ("name", "mountPath", "key", "ip", "port")
_QUANTITIES = {"requests", "limits", "hard", "default", "defaultRequest", "min", "max", "capacity", "sizeLimit"}
_FALSE_IS_NOTHING = {"readOnly", "hostNetwork", "hostPID", "hostIPC", "stdin", "stdinOnce", "tty"}
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
    """Where ``live`` differs from ``rendered``: path, rendered and live value (`ABSENT` for none).

    In a path, the element of a list stands by its name where the elements have names. What the API server fills in by
    itself is not a change; fields that were added to a map are not seen here.
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
    sent, actual = ({one[key]: one for one in side} for side in (rendered, live))
    for name in sent | actual:
        if name not in sent:
            yield (*path, name), ABSENT, actual[name]
        else:
            yield from changes(sent[name], actual.get(name, ABSENT), (*path, name))


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
    """True for what the API server does not keep: what is empty, and a false that means the same as no value."""
    if isinstance(value, dict):
        return all(_is_nothing(one, name) for name, one in value.items())
    return value in ("", [], None) or (value is False and key in _FALSE_IS_NOTHING)


def without_label(item: Json, label: str, value: str) -> Json:
    """An object of an environment, and the pods it makes, without a label where that has this value."""
    metadata = item.get("metadata")
    if isinstance(metadata, dict) and (metadata.get("labels") or {}).get(label) == value:
        labels = {key: one for key, one in metadata["labels"].items() if key != label}
        item = {**item, "metadata": {**metadata, "labels": labels}}
    inner = {
        key: without_label(item[key], label, value) for key in ("template", "spec") if isinstance(item.get(key), dict)
    }
    return {**item, **inner}


def removal(paths: list[Path]) -> list[Json]:
    """A JSON patch that removes the fields, the later elements of a list first."""
    pointers = sorted(paths, key=lambda path: [(isinstance(step, int), step) for step in path], reverse=True)
    return [{"op": "remove", "path": "".join(f"/{_escaped(step)}" for step in path)} for path in pointers]


def _escaped(step: Step) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")


def dotted(path: Path, item: Any = None) -> str:
    """A path for people: ``template.spec.containers.base.image``; with ``item``, elements of lists by their names."""
    steps = []
    for step in path:
        if isinstance(step, int) and isinstance(item, list) and (key := _key_of(item)):
            steps.append(str(item[step][key]))
        else:
            steps.append(str(step))
        item = _below(item, step)
    return ".".join(steps)


def _below(item: Any, step: Step) -> Any:
    try:
        return item[step]
    except (KeyError, IndexError, TypeError):
        return None
