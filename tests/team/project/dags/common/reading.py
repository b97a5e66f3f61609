"""Orders from the file that lies beside this module."""

import csv
from datetime import date
from importlib import resources

from .model import Order


def orders_of(day: date) -> list[Order]:
    """The orders of one day, by name."""
    with resources.files(__package__).joinpath("data/orders.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["day"] == day.isoformat()]
    return sorted(Order(row["name"], int(row["pieces"])) for row in rows)
