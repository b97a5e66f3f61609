"""One scalar of a values file changes, and nothing else in it."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from podenv.sizes.valuesedit import ByHand, edited

MEMORY = ("resources", "limits", "memory")


def test_the_scalar_alone_changes_and_comments_stay() -> None:
    before = 'python: "3.11"  # quoted\n\nresources:\n  limits:  # the most\n    memory: 1Gi  # bytes\n    cpu: "1"\n'
    assert edited(before, MEMORY, "512Mi") == before.replace("1Gi", "512Mi")
    assert edited(before, ("resources", "limits", "cpu"), '"2"') == before.replace('cpu: "1"', 'cpu: "2"')


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: 1\nresources:\n  limits:\n    cpu: 1\n", "a: 1\nresources:\n  limits:\n    memory: 1Gi\n    cpu: 1\n"),
        (
            "resources:\n  # reserved\n  requests:\n    cpu: 1\n",
            "resources:\n  # reserved\n  limits:\n    memory: 1Gi\n  requests:\n    cpu: 1\n",
        ),
        ("resources: {limits: {cpu: 1}}\n", "resources: {limits: {memory: 1Gi, cpu: 1}}\n"),
        ("resources: {requests: {cpu: 1}}\n", "resources: {limits: {memory: 1Gi}, requests: {cpu: 1}}\n"),
        ("resources: {limits: {memory: 2Gi}}\n", "resources: {limits: {memory: 1Gi}}\n"),
        ('python: "3.11"\n', 'python: "3.11"\n\nresources:\n  limits:\n    memory: 1Gi\n'),
        ('python: "3.11"', 'python: "3.11"\n\nresources:\n  limits:\n    memory: 1Gi\n'),
        ("# nothing yet\n", "# nothing yet\n\nresources:\n  limits:\n    memory: 1Gi\n"),
        ("", "resources:\n  limits:\n    memory: 1Gi\n"),
        ("a: 1\r\n", "a: 1\r\n\r\nresources:\r\n  limits:\r\n    memory: 1Gi\r\n"),
    ],
)
def test_a_missing_key_is_made_in_the_layout_that_is_there(before: str, after: str) -> None:
    assert edited(before, MEMORY, "1Gi") == after


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ("x: &a {memory: 1Gi}\nresources: {limits: *a}\n", "it uses anchors"),
        ("resources:\n  limits:\n", "resources.limits is not a map there"),
        ("resources: 5\n", "resources is not a map there"),
        ("resources: {limits: {}}\n", "there is an empty map in the place"),
        ("resources: {limits: {memory: }}\n", "resources.limits.memory is empty there"),
        ("resources: [\n", "it is not YAML that can be edited"),
        ("a: 1\n...\n", "its layout is an unusual one"),
    ],
)
def test_what_cannot_be_edited_is_left_with_the_reason(before: str, why: str) -> None:
    with pytest.raises(ByHand, match=why):
        edited(before, MEMORY, "1Gi")


keys = st.sampled_from(["resources", "limits", "requests", "memory", "cpu", "env", "a b", "python"])
trees = st.dictionaries(
    keys,
    st.recursive(
        st.text(max_size=5) | st.integers() | st.none() | st.lists(st.integers(), max_size=2),
        lambda inner: st.dictionaries(keys, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(trees, st.booleans() | st.none(), st.sampled_from([MEMORY, ("resources", "requests", "memory"), ("a", "b")]))
def test_whatever_is_edited_reads_back_as_the_same_tree_with_that_value(
    tree: object, flow: bool | None, path: tuple[str, ...]
) -> None:
    before = yaml.safe_dump(tree, default_flow_style=flow)
    try:
        after = edited(before, path, "1Gi")
    except ByHand:
        return
    found, kept = yaml.safe_load(after), yaml.safe_load(before)
    holder, rest = found, kept
    for key in path[:-1]:
        holder, rest = holder[key], (rest or {}).get(key)
    assert holder.pop(path[-1]) == "1Gi"
    assert holder == {key: value for key, value in (rest or {}).items() if key != path[-1]}
