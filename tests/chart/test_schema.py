"""One source: the schema file is the model, and the model refuses what helm refuses."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.chart.helm import BASE, Helm
from tests.chart.strategies import accepted_by, damaged, is_valid

from podenv.catalogue import values
from podenv.catalogue.spec import json_schema, validate
from podenv.errors import ProgramFailed

SCHEMA = json_schema()
sound = accepted_by(SCHEMA).filter(is_valid(SCHEMA))
quick = settings(suppress_health_check=list(HealthCheck))


def model_accepts(tree: Any) -> bool:
    try:
        validate(tree)
    except ValidationError:
        return False
    return True


@quick
@given(sound)
def test_the_model_accepts_what_the_schema_accepts(tree: Any) -> None:
    validate(tree)


@settings(quick, max_examples=200)
@given(damaged(sound))
def test_the_model_refuses_what_the_schema_refuses(tree: Any) -> None:
    assert model_accepts(tree) == is_valid(SCHEMA)(tree)


def test_limits_that_a_null_removes_need_no_cap() -> None:
    tree = {"python": "3.11", "resources": {"limits": None, "maxMemory": None}}
    assert (model_accepts(tree), is_valid(SCHEMA)(tree)) == (True, True)


numbers = st.integers(0, 2**40) | st.floats(0, 2e16) | st.sampled_from([-0.0, 999.9999999999999, 0.001, 1e6, 999, 1000])
texts = st.builds(
    "{0}{1}".format,
    st.decimals(0, 10**13, places=4).map(lambda number: f"{number.normalize():f}"),
    st.sampled_from(["", "m", "u", "k", "M", "G", "E", "Ki", "Mi", "Gi", "e3", "e6", "E+9", "B"]),
)
places: list[Callable[[Any], Any]] = [
    *(
        lambda amount, kind=kind, name=name: {"resources": {kind: {name: amount}}}
        for kind in ("requests", "limits")
        for name in ("cpu", "memory", "hugepages-2Mi", "nvidia.com/gpu", "example.com/x")
    ),
    *(
        lambda amount, name=name: {"resourceQuota": {"hard": {name: amount}}}
        for name in ("requests.cpu", "limits.memory", "pods", "requests.nvidia.com/gpu")
    ),
    lambda amount: {"limitRange": {"min": {"cpu": amount}, "max": {"memory": amount}}},
    lambda amount: {"tmp": {"size": amount}},
    lambda amount: {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": amount}}]},
    lambda amount: {"initContainers": [{"name": "i", "resources": {"limits": {"cpu": amount}}}]},
]


@settings(quick, max_examples=400)
@given(st.sampled_from(places), numbers | texts)
def test_the_model_and_the_schema_agree_which_quantities_make_sense(place: Any, amount: Any) -> None:
    tree = {"python": "3.11", **place(amount)}
    assert model_accepts(tree) == is_valid(SCHEMA)(tree), tree


@settings(quick, max_examples=25)
@given(tree=damaged(sound))
def test_helm_accepts_and_refuses_as_the_schema_does(helm: Helm, tree: Any) -> None:
    accepted = is_valid(SCHEMA)(tree)
    tree = values.merge(tree, {"image": BASE["image"]}) if accepted else tree
    said, namespace = "", tree.get("namespace")
    try:
        helm.template(tree, namespace=namespace if namespace and isinstance(namespace, str) else "podenv-etl")
    except ProgramFailed as error:
        said = error.stderr
    assert ("values don't meet the specifications of the schema" in said, bool(said)) == (not accepted, not accepted)
