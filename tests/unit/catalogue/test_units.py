"""So much of a resource makes sense, or the error says what was probably meant."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podenv.catalogue import quantity, units
from podenv.errors import ResourceError


@pytest.mark.parametrize(
    ("resource", "texts"),
    [
        (
            "memory",
            ["512Mi", "1Mi", "0.5Gi", ".5Gi", "1.5Gi", "1G", "1000k", "1024Ki", "1073741824", "129e6", "1500e3"],
        ),
        ("memory", ["1288490188800m"]),  # as Kubernetes writes 1.2Gi
        ("ephemeral-storage", ["10Gi", "100M"]),
        ("hugepages-2Mi", ["2Mi", "1Gi"]),
        ("cpu", ["1", "0.1", "1.5", ".5", "1m", "500m", "0.001", "128", "999", "64000m"]),
        ("nvidia.com/gpu", ["0", "1", "8", "1.0"]),
        ("nvidia.com/mig-1g.5gb", ["1"]),
        ("sgx.intel.com/epc", ["512Ki", "10Mi"]),
        ("fpga", ["3"]),  # Kubernetes has no such name, and says so
    ],
)
def test_what_makes_sense_passes(resource: str, texts: list[str]) -> None:
    for text in texts:
        units.check(resource, text, "where")


@pytest.mark.parametrize(
    ("resource", "text", "why"),
    [
        ("memory", "512m", "512m is half a byte; did you mean 512Mi?"),
        ("memory", "100m", "100m is less than a byte; did you mean 100Mi?"),
        ("memory", "1000m", "1000m is one byte; did you mean 1000Mi?"),
        ("memory", "4", "4 is 4 bytes; did you mean 4Gi?"),
        ("memory", "1.5", "1.5 is 1.5 bytes; did you mean 1.5Gi?"),
        ("memory", "512", "512 is 512 bytes; did you mean 512Mi?"),
        ("memory", "16384", "16384 is 16,384 bytes; did you mean 16384Mi?"),
        ("memory", "512k", "512k is 512,000 bytes; did you mean 512Mi?"),
        ("memory", "0.5Mi", "0.5Mi is 524,288 bytes; did you mean 0.5Gi?"),
        ("memory", "0.0001Gi", "0.0001Gi is 107,374.1824 bytes; did you mean 512Mi?"),
        ("memory", "2e3", "2e3 is 2,000 bytes; did you mean 2Mi?"),
        ("memory", "0", "a limit of 0 means no limit to Kubernetes; leave it out, or write it like 512Mi."),
        ("memory", "999Ki", "999Ki is an unusual way to write a quantity; write it like 512Mi."),
        ("memory", "2GB", "'2GB' is not a Kubernetes quantity; did you mean 2Gi?"),
        ("memory", "512mb", "'512mb' is not a Kubernetes quantity; did you mean 512Mi?"),
        ("memory", "2g", "'2g' is not a Kubernetes quantity; did you mean 2Gi?"),
        ("memory", "64 K", "'64 K' is not a Kubernetes quantity; did you mean 64Ki?"),
        ("memory", "-1", "'-1' is not a Kubernetes quantity; write it like '500m' (cpu) or '2Gi' (memory)."),
        ("ephemeral-storage", "10", "10 is 10 bytes; did you mean 10Gi?"),
        ("hugepages-1Gi", "4", "4 is 4 bytes; did you mean 4Gi?"),
        ("cpu", "2Gi", "2Gi is 2,147,483,648 cores; write it like 500m or 2. Was it meant as memory?"),
        ("cpu", "1000", "1000 is 1,000 cores; did you mean 1000m?"),
        ("cpu", "1024", "1024 is 1,024 cores; did you mean 1024m?"),
        ("cpu", "2k", "2k is 2,000 cores; write it like 500m or 2."),
        ("cpu", "0.0005", "0.0005 is less than a thousandth of a core; did you mean 500m?"),
        ("cpu", "100u", "100u is less than a thousandth of a core; did you mean 100m?"),
        ("cpu", "0", "a limit of 0 means no limit to Kubernetes; leave it out, or write it like 500m or 2."),
        ("cpu", "1e1", "1e1 is an unusual way to write a quantity; write it like 500m or 2."),
        ("nvidia.com/gpu", "0.5", "0.5 is not a whole number; write it like 1."),
        ("nvidia.com/gpu", "500m", "500m is not a whole number; write it like 1."),
        ("nvidia.com/gpu", "16Gi",
         "16Gi is 17,179,869,184 GPUs; they are counted, not their memory: write it like 1."),
        ("example.com/licence", "1.5", "1.5 is not a whole number; write it like 1."),
        ("fpga", "many", "'many' is not a Kubernetes quantity; write it like '500m' (cpu) or '2Gi' (memory)."),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_what_was_probably_meant(resource: str, text: str, why: str) -> None:
    with pytest.raises(ResourceError) as caught:
        units.check(resource, text, "task 'train': memory")
    assert str(caught.value) == f"task 'train': memory: {why}"


@pytest.mark.parametrize("text", ["0", "0Gi", "0.0", "0m", "00"])
def test_a_request_may_be_nothing(text: str) -> None:
    for resource in ("cpu", "memory"):
        units.check(resource, text, "where", zero=True)
        with pytest.raises(ResourceError, match="means no limit to Kubernetes"):
            units.check(resource, text, "where")


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("cpu", units.QUOTA_CORES),
        ("requests.cpu", units.QUOTA_CORES),
        ("limits.memory", units.BYTES),
        ("requests.ephemeral-storage", units.BYTES),
        ("requests.storage", units.BYTES),
        ("gold.storageclass.storage.k8s.io/requests.storage", units.BYTES),
        ("requests.hugepages-2Mi", units.BYTES),
        ("requests.nvidia.com/gpu", units.PIECES),
        ("pods", units.PIECES),
        ("count/deployments.apps", units.PIECES),
        ("gold.storageclass.storage.k8s.io/persistentvolumeclaims", units.PIECES),
    ],
)
def test_a_quota_counts_in_the_unit_of_what_it_counts(name: str, unit: units.Unit) -> None:
    assert units.of_quota(name) is unit


def test_a_quota_may_have_more_cores_than_a_container() -> None:
    for text in ("64", "4000", "20k", "0"):
        units.QUOTA_CORES.check(text, zero=True)
    with pytest.raises(ResourceError, match=r"^2Gi is 2,147,483,648 cores"):
        units.QUOTA_CORES.check("2Gi")


numbers = st.decimals(min_value=0, max_value=10**13, places=6).map(lambda number: f"{number.normalize():f}")
suffixes = st.sampled_from(
    ["", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "e6", "e+9"]
)


@given(numbers, suffixes)
def test_no_size_below_a_megabyte_passes_and_every_usual_one_above_does(number: str, suffix: str) -> None:
    text = f"{number}{suffix}"
    value = quantity.parse(text)
    passes = re.fullmatch(units.BYTES.pattern, text) is not None
    if value < 10**6:
        assert not passes
    elif Decimal(number) >= 1 and value >= 1024 * 10**3:
        assert passes


@given(numbers, st.sampled_from(["", "m"]))
def test_cores_are_between_a_thousandth_and_a_thousand(number: str, suffix: str) -> None:
    text = f"{number}{suffix}"
    passes = re.fullmatch(units.CORES.pattern, text) is not None
    assert passes == (Decimal("0.001") <= quantity.parse(text) < 1000)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "512m"}}]},
         "Task 't': sizeLimit of the volume 'scratch': 512m is half a byte; did you mean 512Mi?"),
        ({"initContainers": [{"name": "load", "resources": {"limits": {"memory": 4}}}]},
         "Task 't': init container 'load': limit of memory: 4 is 4 bytes; did you mean 4Gi?"),
    ],
)  # fmt: skip
def test_folders_and_init_containers_of_a_pod_are_looked_at_too(spec: dict[str, object], why: str) -> None:
    with pytest.raises(ResourceError) as caught:
        units.check_pod(spec, "Task 't'")
    assert str(caught.value) == why


def test_a_pod_without_quantities_passes() -> None:
    units.check_pod({"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b"}, {"name": "c", "emptyDir": None}]}, "t")
    units.check_pod({"initContainers": [{"name": "i"}], "volumes": None}, "t")


def test_an_error_comes_for_everything_that_the_pattern_refuses() -> None:
    with pytest.raises(ResourceError, match="is an unusual way"):
        units.PIECES.check("1e3")


def test_a_request_above_its_limit_is_refused_and_both_are_named() -> None:
    with pytest.raises(ResourceError) as caught:
        units.check_resources({"memory": "2Gi"}, {"memory": "1Gi"}, "task 'train'")
    assert str(caught.value) == (
        "task 'train': the request of memory (2Gi) is above its limit (1Gi); lower the request or raise the limit."
    )


def test_equal_request_and_limit_in_other_words_are_fine() -> None:
    units.check_resources({"cpu": "1000m"}, {"cpu": "1"}, "task")
