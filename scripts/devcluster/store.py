"""The bucket through which tables and files go between tasks: moto's S3 server, which forgets at its end."""

import json
from pathlib import Path

from devcluster import tools
from devcluster.network import Network
from devcluster.places import Places, made_whole
from devcluster.programs import run

MOTO = ("moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5")  # its extra `server` brings all of AWS, 300 MB
PORT = 5002
BUCKET = "podenv-dev"

PROGRAM = f"""\
import os
import sys
import tempfile

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import Client

os.makedirs(sys.argv[2], exist_ok=True)
tempfile.tempdir = sys.argv[2]
store = DomainDispatcherApplication(create_backend_app)
Client(store).put("/{BUCKET}", base_url="http://s3.amazonaws.com")
make_server(sys.argv[1], {PORT}, store, threaded=True).serve_forever()
"""


def python(places: Places) -> Path:
    """The interpreter that has moto; a copy, so that its processes are known by their program."""
    return places.cache / "store" / "bin" / "python3"


def ready(places: Places) -> bool:
    """True if moto of the right version is in the cache, with a Python that starts."""
    stamp = places.cache / "store" / ".version"
    return stamp.is_file() and stamp.read_text() == str(MOTO)


def fetch(places: Places, log: Path) -> None:
    """Put moto into the cache, with all that it needs."""
    pip, alone = tools.python_with_pip(), ["--only-binary=:all:", "--disable-pip-version-check"]
    with made_whole(places.cache / "store") as folder:
        run([pip, "-m", "venv", "--copies", "--without-pip", folder], log=log)
        run([pip, "-m", "pip", "--python", folder, "install", *alone, *MOTO], log=log)
        (folder / ".version").write_text(str(MOTO))


def variables(network: Network) -> dict[str, str]:
    """What tells podenv of the bucket, with an Airflow Connection to it."""
    connection = {
        "conn_type": "aws",
        "login": "podenv",
        "password": "no-secret-at-all",
        "extra": {"endpoint_url": f"http://{network.node}:{PORT}", "region_name": "us-east-1"},
    }
    return {
        "AIRFLOW_CONN_PODENV_DEV": json.dumps(connection),
        "PODENV_EXCHANGE": f"s3://podenv_dev@{BUCKET}/exchange",
    }
