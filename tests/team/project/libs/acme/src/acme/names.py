"""Names of what is published."""

from importlib import resources

from slugify import slugify


def of_report(day: str) -> str:
    """The name under which the report of ``day`` is published."""
    return slugify(resources.files("acme").joinpath("title.txt").read_text(encoding="utf-8").format(day=day))
