"""Tables as text."""

from tabulate import tabulate


def lines(rows: list[dict]) -> list[str]:
    """A line for each row, below a head."""
    return tabulate(rows, headers="keys", tablefmt="plain").splitlines()
