"""What the tests have pods do; each is sent alone, so that it brings its own imports."""

from __future__ import annotations


def double(number: int) -> int:
    print("doubling")
    return 2 * number


def hold(size: int) -> int:
    return len(b"x" * size)


def prints(lines: int, pause: float = 0.0) -> int:
    import time

    for number in range(lines):
        print(number)
        time.sleep(pause)
    return lines


def raises(words: str) -> None:
    print("about to raise")
    raise ValueError(words)


def sleeps(seconds: float) -> str:
    import time

    print("asleep")
    time.sleep(seconds)
    return "awake"


def noise(size: int) -> str:
    """So many hex digits, which cannot be packed well."""
    import random

    return random.Random(1).randbytes(size // 2).hex()


def prints_and_returns(lines: int, pause: float, size: int) -> str:
    """As `prints` and `noise`."""
    import random
    import time

    for number in range(lines):
        print(number)
        time.sleep(pause)
    return random.Random(1).randbytes(size // 2).hex()


def dies(code: int) -> None:
    import os

    print("about to die")
    os._exit(code)


def waits_for(path: str) -> str:
    """Runs until the file exists."""
    import time
    from pathlib import Path

    print("waiting")
    while not Path(path).exists():
        time.sleep(0.02)
    return "done"


def length(words: str) -> int:
    return len(words)
