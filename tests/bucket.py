"""The bucket that `scripts/dev-cluster env` tells of: for the tests that ask for it, and no others."""

import json
import os

_NAMES = ("PODENV_EXCHANGE", "AIRFLOW_CONN_PODENV_DEV")
_HANDED_ON = "TESTS_BUCKET"  # to the processes of xdist, which get the environment that is left

VARIABLES: dict[str, str] = json.loads(os.environ.get(_HANDED_ON, "{}"))
VARIABLES |= {name: os.environ.pop(name) for name in _NAMES if name in os.environ}
os.environ[_HANDED_ON] = json.dumps(VARIABLES)
