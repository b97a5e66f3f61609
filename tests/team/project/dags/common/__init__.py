"""What the team's DAGs share."""

from .settings import CURRENCY as CURRENCY
