"""The frame: the reader gets the result, the log keeps every other line, in pieces of any size."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podenv.runtime import frame
from podenv.runtime.call import Result
from podenv.runtime.frame import FrameReader

TOKEN = "3f0c9a1e7b"
LARGE = Result([f"x{number}" for number in range(20_000)])


class Log:
    def __init__(self, token: str = TOKEN) -> None:
        self.lines: list[str] = []
        self.reader = FrameReader(token, self.lines.append)

    def take(self, *pieces: bytes) -> object:
        for piece in pieces:
            self.reader.feed(piece)
        self.reader.close()
        return self.reader.result.value if self.reader.result else None


def framed(value: object, token: str = TOKEN) -> bytes:
    return b"\n" + b"".join(frame.lines(token, Result(value).encode()))


def test_the_result_is_read_and_the_reader_of_the_log_never_sees_it() -> None:
    log = Log()
    assert log.take(b"one\ntwo\n" + framed({"a": 1})) == {"a": 1}
    assert log.lines == ["one", "two"]


def test_a_line_without_its_newline_stays_whole_before_the_frame() -> None:
    log = Log()
    assert log.take(b"one\nloading 99%" + framed(5)) == 5
    assert log.lines == ["one", "loading 99%"]
    log = Log()
    assert log.take(b"one\nloading 99%" + framed(5).lstrip()) == 5
    assert log.lines == ["one", "loading 99%"]


def test_empty_lines_of_the_function_stay() -> None:
    log = Log()
    assert log.take(b"\n\none\n\n\n" + framed(5) + b"\nlate\n\n") == 5
    assert log.lines == ["", "", "one", "", "", "", "late", ""]


def test_every_line_of_a_frame_fits_one_atomic_write() -> None:
    lines = frame.lines("f" * 64, LARGE.encode())
    assert len(lines) > 5
    assert max(map(len, lines)) < 4096


def test_lines_of_others_between_those_of_the_frame_are_log_lines() -> None:
    first, second, *rest = frame.lines(TOKEN, LARGE.encode())
    log = Log()
    assert log.take(first, b"warning", second, b"bye\n", *rest) == LARGE.value
    assert log.lines == ["warning", "bye"]


def test_lines_in_any_order_and_twice_make_the_frame() -> None:
    lines = frame.lines(TOKEN, LARGE.encode())
    assert Log().take(*reversed(lines[1:]), lines[-1], lines[0]) == LARGE.value


def test_the_last_whole_frame_counts() -> None:
    cut = framed("third" * 4)[:-10]
    assert Log().take(framed("first"), framed("second"), cut) == "second"


def test_a_frame_with_another_token_is_a_log_line_and_no_result() -> None:
    log = Log()
    foreign = framed(1, "another-token")
    assert log.take(foreign) is None
    assert log.lines == foreign.decode().splitlines()


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line.replace(b"1/1", b"1/2"),
        lambda line: line.replace(b"1/1", b"2/1"),
        lambda line: line.replace(b"1/1", b"1/99999999"),
        lambda line: line.replace(b"1/1", b"x/y"),
        lambda line: line[:-9] + b"AAAAAAAA\n",
        lambda line: line[:-3] + b"\n",
        lambda line: line.replace(b" 1/1 ", b" "),
        lambda line: line.replace(TOKEN.encode(), TOKEN.encode() + b" "),
    ],
)
def test_a_damaged_frame_is_neither_result_nor_log_line(damage: Callable[[bytes], bytes]) -> None:
    log = Log()
    assert log.take(damage(framed("value")[1:])) is None
    assert log.lines == []


def test_a_checksummed_frame_that_holds_no_result_is_none() -> None:
    assert Log().take(*frame.lines(TOKEN, b"no result")) is None


TEXT = st.lists(st.sampled_from(["a", "", "é✓", "x" * 300, "\r", "@@podenv ", "@@podenv 3f0c"]), max_size=8).map(
    "\n".join
)


@settings(max_examples=200)
@given(TEXT, st.binary(max_size=3000), st.lists(st.integers(1, 700), max_size=40), st.booleans())
def test_however_the_bytes_are_cut_the_log_and_the_result_are_the_same(
    text: str, payload: bytes, cuts: list[int], ends: bool
) -> None:
    value = payload.hex() * 4
    printed = text + ("\n" if ends and text else "")
    data = printed.encode() + framed(value)
    pieces = []
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    log = Log()
    assert log.take(*pieces, data) == value
    expected = printed.split("\n")
    if not expected[-1]:
        expected.pop()
    assert log.lines == [line.removesuffix("\r") for line in expected]


def test_undecodable_bytes_are_replaced() -> None:
    log = Log()
    log.take(b"caf\xe9\n")
    assert log.lines == ["caf\ufffd"]


def test_a_line_without_end_is_emitted_in_pieces_and_never_held() -> None:
    log = Log()
    pieces = [b"\xc3\xa9" * 500_000] * 20
    held = 0
    for piece in pieces:
        log.reader.feed(piece)
        held = max(held, len(log.reader._tail))
    assert held <= frame.MAX_LINE
    assert log.take(framed("after")) == "after"
    assert "".join(log.lines) == "é" * 10_000_000
    assert max(len(line.encode()) for line in log.lines) <= frame.MAX_LINE


def test_a_whole_line_longer_than_the_bound_is_cut_too() -> None:
    log = Log()
    log.take(b"y" * 200_000 + b"\nz\n")
    assert "".join(log.lines) == "y" * 200_000 + "z"
    assert len(log.lines) == 6


def test_a_long_unfinished_line_loses_nothing_of_a_frame_behind_it() -> None:
    data = b"y" * (frame.MAX_LINE - 5) + framed("behind").lstrip()
    for cut in range(frame.MAX_LINE - 8, frame.MAX_LINE + 40):
        log = Log()
        assert log.take(data[:cut], data[cut:]) == "behind"
        assert "".join(log.lines) == "y" * (frame.MAX_LINE - 5)


def test_a_frame_head_without_an_end_is_not_held() -> None:
    log = Log()
    log.reader.feed(b"x@@podenv " + TOKEN.encode() + b" " + b"A" * 1_000_000)
    log.reader.feed(b"A" * 1_000_000)
    assert len(log.reader._tail) < frame.MAX_LINE * 2
    assert log.take(framed("fine")) == "fine"
    assert log.lines == ["x"]


def test_100_mb_of_log_pass_in_seconds() -> None:
    block = b"".join(b"line %06d %s\n" % (number, b"x" * 87) for number in range(655))
    count = 0

    def emit(_: str) -> None:
        nonlocal count
        count += 1

    reader = FrameReader(TOKEN, emit)
    started = time.process_time()
    for _ in range(100_000_000 // len(block)):
        reader.feed(block)
    assert count == 100_000_000 // len(block) * 655
    assert time.process_time() - started < 10


def test_a_full_non_blocking_pipe_gets_the_whole_frame() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    log = Log()

    def slow() -> None:
        while data := os.read(read, 10_000):
            log.reader.feed(data)

    reader = threading.Thread(target=slow)
    reader.start()
    frame.write(write, TOKEN, LARGE.encode())
    os.close(write)
    reader.join()
    os.close(read)
    assert log.take() == LARGE.value


def test_a_frame_that_nobody_reads_is_an_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with pytest.raises(BrokenPipeError):
        frame.write(write, TOKEN, b"payload")
    os.close(write)
