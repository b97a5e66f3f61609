from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity

from podenv.catalogue import quantity
from podenv.errors import ResourceError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", Decimal(1)),
        ("500m", Decimal("0.5")),
        ("1.5", Decimal("1.5")),
        (".5", Decimal("0.5")),
        ("2Gi", Decimal(2 * 1024**3)),
        ("1e3", Decimal(1000)),
        ("1E", Decimal(10) ** 18),
        ("1E3", Decimal(1000)),
        ("1k", Decimal(1000)),
        ("100n", Decimal("0.0000001")),
    ],
)
def test_a_quantity_is_read_as_kubernetes_reads_it(text: str, value: Decimal) -> None:
    assert quantity.parse(text) == value


@pytest.mark.parametrize("text", ["", "1GB", "1 Gi", "-1", "Gi", "1e", "0x10", "1K", "1.2.3", "1Gi ", "\n1", "١"])
def test_what_is_not_a_quantity_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ResourceError, match="is not a Kubernetes quantity; write it like '500m'"):
        quantity.parse(text)


@given(
    st.decimals(min_value=0, max_value=10**6, places=3),
    st.sampled_from(["", "m", "k", "M", "G", "T", "P", "E", "n", "u", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]),
)
def test_it_agrees_with_the_kubernetes_client(number: Decimal, suffix: str) -> None:
    text = f"{number}{suffix}"
    assert quantity.parse(text) == parse_quantity(text)


def test_bytes_are_rounded_up() -> None:
    assert quantity.to_bytes("1.5") == 2
    assert quantity.to_bytes("1Mi") == 1048576


@given(st.integers(0, 2**50))
def test_bytes_are_written_as_an_exact_quantity(size: int) -> None:
    assert quantity.to_bytes(quantity.of_bytes(size)) == size


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0"), (1000, "1000"), (1024, "1Ki"), (1536 * 1024**2, "1536Mi"), (2 * 1024**3, "2Gi")]
)
def test_bytes_are_written_as_people_read_them(size: int, text: str) -> None:
    assert quantity.of_bytes(size) == text
