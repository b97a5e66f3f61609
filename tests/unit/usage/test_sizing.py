"""What is proposed for a task, from what its runs used."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podenv.usage import sizing

MIB = 2**20
sizes = st.lists(st.floats(1, 2**45), min_size=1, max_size=200).map(sorted)


def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert [sizing.percentile(ordered, share) for share in (0, 0.5, 0.95, 1)] == [1, 50, 95, 100]
    assert sizing.percentile([7.0], 0.5) == 7


@given(sizes, st.floats(0, 1))
def test_a_percentile_is_one_of_the_values_and_that_many_lie_at_or_below_it(values: list[float], share: float) -> None:
    found = sizing.percentile(values, share)
    below = sum(value <= found for value in values)
    assert found in values
    assert below >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < max(1, math.ceil(share * len(values)))


def test_memory_is_a_quarter_more_than_the_95th_percentile_rounded_up() -> None:
    assert sizing.memory([100.0 * MIB] * 20) == 128 * MIB
    assert sizing.memory([612.0 * MIB] * 20) == 768 * MIB
    assert sizing.memory([1450.0 * MIB] * 20) == 1920 * MIB


def test_memory_covers_the_highest_peak_and_start_does_not() -> None:
    peaks = [100.0 * MIB] * 39 + [900.0 * MIB]
    assert sizing.memory(peaks) == 960 * MIB
    assert sizing.start(peaks) == 128 * MIB


def test_a_limit_that_was_too_low_is_exceeded_by_a_quarter() -> None:
    assert sizing.memory([100.0 * MIB], 512 * MIB) == 640 * MIB
    assert sizing.start([100.0 * MIB], 512 * MIB) == 640 * MIB
    assert sizing.start([], 512 * MIB) == 640 * MIB


def test_nothing_is_proposed_where_nothing_is_known() -> None:
    assert sizing.memory([]) is None
    assert sizing.start([]) is None
    assert sizing.cpu([]) is None


@given(sizes)
def test_memory_is_at_least_what_every_run_used_and_wastes_little(peaks: list[float]) -> None:
    found = sizing.memory(peaks)
    assert found is not None
    assert peaks[-1] <= found <= max(peaks[-1] * sizing.MARGIN * 1.125 + 16 * MIB, sizing.LEAST_MEMORY_BYTES)
    assert found % (16 * MIB) == 0
    assert sizing.start(peaks) <= found  # type: ignore[operator]


@given(st.floats(0, 2**45), st.floats(0, 2**45))
def test_rounding_keeps_the_order(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert sizing.rounded(low) <= sizing.rounded(high)


@pytest.mark.parametrize(
    ("cores", "throttled_at", "wanted", "text"),
    [
        ([0.01], None, 0.1, "100m"),
        ([0.4], None, 0.5, "500m"),
        ([0.41], None, 0.6, "600m"),
        ([0.8], None, 1.0, "1"),
        ([0.4], 1.0, 1.0, "1"),
        ([1.9], None, 2.5, "2500m"),
        ([6.0], None, 7.5, "7500m"),
    ],
)
def test_cpu_is_a_quarter_more_and_not_below_a_limit_that_held_it_back(
    cores: list[float], throttled_at: float | None, wanted: float, text: str
) -> None:
    found = sizing.cpu(cores, throttled_at)
    assert found == wanted
    assert sizing.cpu_text(found) == text
