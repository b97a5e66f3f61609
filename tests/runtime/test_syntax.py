"""Which Python a function is written for, checked against every Python of this machine."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.runtime.test_runtime import PYTHONS, VERSIONS
from tests.syntaxcorpus import CORPUS

import podenv

COMPILE = """
import json, sys, warnings
warnings.simplefilter("ignore")
read = []
for least, text in json.load(sys.stdin):
    try:
        compile(text, "corpus", "exec")
    except SyntaxError:
        continue
    read.append(text)
print(json.dumps(read))
"""
CHECK = """
import json, sys, warnings
warnings.simplefilter("ignore")
from podenv.call.syntax import newest
wrong = []
for least, text in json.load(sys.stdin):
    refused = [minor for minor in range(8, 16) if newest(text, (3, minor))]
    if least <= sys.version_info[1] and refused != list(range(8, least)):
        wrong.append([text, least, refused])
print(json.dumps(wrong))
"""


def ask(version: str, script: str) -> object:
    done = subprocess.run(
        [PYTHONS[version], "-c", script],
        input=json.dumps(CORPUS),
        env={"PYTHONPATH": str(Path(podenv.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_real_python_reads_what_the_table_says(version: str) -> None:
    assert ask(version, COMPILE) == [text for least, text in CORPUS if least <= int(version[2:])]


@pytest.mark.parametrize("version", [version for version in VERSIONS if int(version[2:]) >= 11])
def test_airflow_on_any_python_finds_what_an_older_environment_cannot_read(version: str) -> None:
    assert ask(version, CHECK) == []
