"""Airflow's own API server with its UI, in this process, for one person on this machine."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable


def serve(listener: socket.socket, ready: Callable[[], None], *, below: str = "") -> None:
    """Serve what Airflow's home holds to everybody who reaches ``listener``, as administrators, until Ctrl-C.

    ``ready`` is called once it answers. ``below`` is a path before all addresses, like ``/team``. The process must not
    have loaded Airflow's API server yet.
    """
    host, port = listener.getsockname()[:2]
    os.environ |= {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API__BASE_URL": f"http://{host}:{port}{below}",
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
    }
    import uvicorn
    from airflow.api_fastapi import app

    config = uvicorn.Config(app.create_app("core"), log_level="error", ws="none", access_log=False)

    class _Telling(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

    _Telling(config).run([listener])
