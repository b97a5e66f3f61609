"""The bucket that `scripts/dev-cluster env` tells of: for the tests that ask for it, and no others."""

import os

VARIABLES = {
    name: os.environ.pop(name) for name in ("PODENV_EXCHANGE", "AIRFLOW_CONN_PODENV_DEV") if name in os.environ
}
