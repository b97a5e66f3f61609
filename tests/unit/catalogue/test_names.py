import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podenv.catalogue import names
from podenv.errors import InvalidName


@pytest.mark.parametrize("name", ["a", "0", "model-training", "a" * 40])
def test_a_dns_label_of_at_most_40_characters_names_an_environment(name: str) -> None:
    assert names.check_environment_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a.b", "a b", "é", "a\n", "../a"])
def test_what_is_no_dns_label_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(InvalidName, match=r"use lower-case letters, digits and '-'"):
        names.check_environment_name(name)


def test_a_name_that_is_too_long_is_refused_with_both_lengths() -> None:
    with pytest.raises(InvalidName, match=r"41 characters, at most 40 are allowed\.$"):
        names.check_environment_name("a" * 41)


@given(st.text(max_size=50))
def test_every_accepted_name_is_a_dns_1123_label(text: str) -> None:
    try:
        names.check_environment_name(text)
    except InvalidName:
        return
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", text)


@pytest.mark.parametrize("text", ["3.8", "3.9", "3.10", "3.13", "3.99"])
def test_a_python_that_the_runtime_can_use_is_taken(text: str) -> None:
    assert names.is_python_version(text)


@pytest.mark.parametrize("text", ["3.7", "3.0", "2.7", "3", "3.100", "3.11.4", "3.11\n", "4.1", "３.11", ""])
def test_another_python_is_refused(text: str) -> None:
    assert not names.is_python_version(text)


def test_a_lock_key_names_the_python_and_the_lock() -> None:
    assert names.lock_key("3.13", "0123456789abcdef" * 4) == "py3.13-0123456789abcdef"
