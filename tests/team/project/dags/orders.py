"""A day's orders: read, priced one by one, reported, published. The code that the tasks share lies beside this file."""

import logging
from dataclasses import asdict, dataclass
from datetime import date
from functools import lru_cache

from airflow.sdk import dag, task
from common import CURRENCY
from common.model import Order, Size

log = logging.getLogger(__name__)

LARGE = 100  # from this amount on
LABELS = {size: size.name.lower() for size in Size}


@dataclass(frozen=True)
class Priced:
    """An order with its amount."""

    order: Order
    amount: int

    @property
    def label(self) -> str:
        return LABELS[size_of(self.amount)]


@lru_cache
def size_of(amount: int) -> Size:
    return Size.LARGE if amount >= LARGE else Size.SMALL


@dag(schedule=None, params={"day": "2026-01-31"})
def orders():
    @task.env("ingest")
    def read(day: str) -> list[dict]:
        from common.reading import orders_of

        found = orders_of(date.fromisoformat(day))
        log.info("%d orders", len(found))
        return [asdict(order) for order in found]

    @task.env("pricing", memory="128Mi")
    def price(order: dict, factor: int = 1) -> dict:
        from common.pricing import amount

        priced = Priced(Order(**order), factor * amount(Order(**order)))
        return {"name": priced.order.name, "amount": priced.amount, "label": priced.label, "currency": CURRENCY}

    @task.env("reporting")
    def report(priced: list[dict], day: str) -> dict:
        from common.tables import lines

        for line in (shown := lines(priced)):
            print(line)
        return {"day": day, "lines": shown, "total": sum(one["amount"] for one in priced)}

    @task.env("publishing")
    def publish(report: dict) -> dict:
        import acme.names
        import tool

        return {"name": acme.names.of_report(report["day"]), "tool": tool.VERSION, "total": report["total"]}

    day = "{{ params.day }}"
    publish(report(price.expand(order=read(day)), day))


orders()
