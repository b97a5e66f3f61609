"""Prices, from a package of the team's own index."""

import rates

from .model import Order


def amount(order: Order) -> int:
    """Pieces times the major version of the rates, which stands for a price."""
    return order.pieces * int(rates.VERSION.split(".")[0])
