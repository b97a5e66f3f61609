"""Code that several DAGs share."""

from importlib import resources

from .factors import TWO


def scale(number):
    return TWO * number


def note() -> str:
    return resources.files("teamcode.notes").joinpath("note.txt").read_text(encoding="utf-8").strip()
