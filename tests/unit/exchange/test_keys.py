"""The keys of values."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from podenv.exchange.keys import Place, place_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
PLACES = st.builds(Place, TEXTS, TEXTS, TEXTS, st.integers(-1, 10**6), st.integers(1, 10**4))


@given(PLACES)
def test_a_key_tells_whose_value_it_is(place: Place) -> None:
    key = f"{place.launch()}/0"
    parts = key.split("/")
    assert len(parts) == 7
    assert all(re.fullmatch(r"[A-Za-z0-9_.~-]{1,200}", part) and part.strip(".") for part in parts)
    if all(len(part) < 180 for part in parts):
        assert place_of(key) == place


def test_each_launch_has_keys_of_its_own() -> None:
    place = Place("dag", "manual__2026-11-27T08:00:00+00:00", "group.task", 3, 2)
    first, second = place.launch(), place.launch()
    assert first != second
    assert first.rpartition("/")[0] == "dag/manual__2026-11-27T08~3A00~3A00~2B00~3A00/group.task/3/2"


def test_long_names_are_shortened_and_still_differ() -> None:
    one, other = (Place("d", "é" * 240 + end, "t").launch().split("/")[1] for end in ("a", "b"))
    assert len(one) <= 200
    assert one != other
    assert place_of(f"{Place('d', 'x' * 250, 't').launch()}/0") is not None


def test_what_is_not_of_podenv_is_no_place() -> None:
    own = f"{Place('d', 'r', 't').launch()}/0"
    for key in ("", "a/b", f"{own}/1", own.replace("/-1/", "/x/"), own.rpartition("/")[0] + "/part", "podenv.json"):
        assert place_of(key) is None
