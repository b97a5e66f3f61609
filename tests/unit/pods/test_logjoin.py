"""Every line of a container's log is handed on once, in order, over any number of cut streams."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podenv.pods.logjoin import LOG_ENTRY_BYTES, LogJoiner

Entry = tuple[int, bytes]  # nanoseconds, a line


def stamp(nanoseconds: int) -> bytes:
    seconds, nanos = divmod(nanoseconds, 10**9)
    text = f"2026-11-22T19:{seconds // 60:02}:{seconds % 60:02}"
    return f"{text}.{nanos:09}".rstrip("0").rstrip(".").encode() + b"Z"


class Kubelet:
    """Serves a log as the API does: from a whole second on, with a timestamp before each line."""

    def __init__(self, entries: list[Entry], *, inner_stamps: bool = False) -> None:
        self.entries = entries
        self.inner_stamps = inner_stamps  # up to Kubernetes 1.20: at each 16,384 bytes of a longer line

    def log(self, since: str | None) -> bytes:
        return b"".join(
            self._line(time, line) for time, line in self.entries if not since or self._second(time) >= since
        )

    def _second(self, time: int) -> str:
        return stamp(time - time % 10**9).decode()

    def _line(self, time: int, line: bytes) -> bytes:
        pieces = [line[at : at + LOG_ENTRY_BYTES] for at in range(0, len(line), LOG_ENTRY_BYTES)] or [b""]
        between = stamp(time) + b" " if self.inner_stamps else b""
        return stamp(time) + b" " + between.join(pieces) + b"\n"


class Reader:
    def __init__(self) -> None:
        self.got = b""
        self.gaps = 0
        self.seam = LogJoiner(self._feed, self._gap)

    def _feed(self, data: bytes) -> None:
        self.got += data

    def _gap(self) -> None:
        self.gaps += 1

    def read(self, log: bytes, chunk: int) -> None:
        for at in range(0, len(log), chunk):
            self.seam.take(log[at : at + chunk])


def text(entries: list[Entry]) -> bytes:
    return b"".join(line + b"\n" for _, line in entries)


class Long(bytes):
    """A line that Hypothesis can show."""

    def __repr__(self) -> str:
        return f"{self[:1]!r} * {len(self)}"


@st.composite
def logs(draw: st.DrawFn) -> list[Entry]:
    steps = st.sampled_from([0, 0, 1, 999, 10**6, 5 * 10**8, 10**9, 3 * 10**9])
    line = st.binary(max_size=6).map(lambda raw: raw.replace(b"\n", b"|")) | st.sampled_from(
        [
            Long(b"x" * LOG_ENTRY_BYTES),
            Long(b"y" * (LOG_ENTRY_BYTES + 1)),
            Long(b"z" * (3 * LOG_ENTRY_BYTES)),
            stamp(5) + b" not a stamp",
        ]
    )
    time, size, entries = draw(st.integers(0, 2 * 10**9)), 0, []
    for step, content in draw(st.lists(st.tuples(steps, line), max_size=12)):
        time += step
        size += len(content)
        # Two or three long lines are enough, twelve take seconds.
        entries.append((time, content if size < 5 * LOG_ENTRY_BYTES else content[:9]))
    return entries


@given(logs(), st.lists(st.tuples(st.floats(0, 1), st.integers(1, 40_000)), max_size=5), st.booleans())
def test_cut_streams_lose_and_double_nothing(
    entries: list[Entry], cuts: list[tuple[float, int]], inner_stamps: bool
) -> None:
    kubelet, reader = Kubelet(entries, inner_stamps=inner_stamps), Reader()
    for part, chunk in [*cuts, (1.0, 7)]:
        reader.seam.begin()
        log = kubelet.log(reader.seam.since())
        reader.read(log[: int(len(log) * part)], max(chunk, len(log) // 2000))
    assert reader.got == text(entries)
    assert reader.gaps == 0
    assert reader.seam.lines == len(entries)


def test_a_line_longer_than_memory_allows_is_handed_on_in_pieces_and_survives_a_cut() -> None:
    kubelet, reader = Kubelet([(1, b"abc" * 500_000), (2, b"end")]), Reader()
    log = kubelet.log(None)
    reader.read(log[:1_000_000], 60_000)
    handed = len(reader.got)
    assert 700_000 < handed < 1_000_000
    reader.seam.begin()
    reader.read(kubelet.log(reader.seam.since()), 60_000)
    assert reader.got == text(kubelet.entries)
    assert reader.gaps == 0


BEFORE = [(10**9, b"one"), (2 * 10**9, b"two")]


@pytest.mark.parametrize(
    ("after", "got"),
    [
        ([(2 * 10**9 + 5, b"four")], b"one\ntwo\nfour\n"),
        ([(9 * 10**9, b"ten")], b"one\ntwo\nten\n"),
    ],
)
def test_a_rotated_log_leaves_one_visible_gap(after: list[Entry], got: bytes) -> None:
    reader = Reader()
    reader.read(Kubelet(BEFORE).log(None), 9)
    reader.seam.begin()
    reader.read(Kubelet(after).log(reader.seam.since()), 9)
    assert reader.got == got
    assert reader.gaps == 1


def test_the_words_of_the_kubelet_itself_are_handed_on() -> None:
    reader = Reader()
    reader.read(b"unable to retrieve container logs for containerd://1234567890\n", 5)
    assert reader.got == b"unable to retrieve container logs for containerd://1234567890\n"


def test_a_stream_begins_at_the_whole_second_of_the_last_line() -> None:
    reader = Reader()
    assert reader.seam.since() is None
    reader.read(b"2026-11-22T19:00:01.5+02:00 a\n", 100)
    assert reader.seam.since() == "2026-11-22T19:00:01+02:00"
