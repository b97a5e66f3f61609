"""Run by `helm test` inside the image: check.py PYTHON [PACKAGE...]; standard library only, Python 3.8 or newer.

Every PACKAGE (numpy, numpy==1.26.4 or numpy @ ADDRESS) must be installed; `podenv verify` compares versions. Every
top-level module of the installed packages must be importable.
"""

import importlib
import sys
import time
from importlib import metadata


def installed():
    """Top-level modules of all distributions, without the tests and docs that some wheels hold."""
    found = set()
    for distribution in metadata.distributions():
        for file in distribution.files or ():
            first = file.parts[0] if len(file.parts) > 1 else file.name.partition(".")[0]
            if file.suffix in (".py", ".so") and first.isidentifier():
                found.add(first)
    return sorted(found - {"test", "tests", "doc", "docs", "example", "examples"})


def missing(packages):
    for package in packages:
        name = package.partition("==")[0].partition(" @ ")[0]
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name


python, packages = sys.argv[1], sys.argv[2:]
failures = ["{} is in the lock and not in the image".format(package) for package in missing(packages)]

found = "{}.{}".format(*sys.version_info[:2])
print("Python", sys.version.split()[0])
if found != python:
    failures.append("the image has Python {}, the values say {}".format(found, python))

for module in installed():
    begin = time.perf_counter()
    try:
        importlib.import_module(module)
    except BaseException as error:  # a package may well call sys.exit
        failures.append("import {}: {}: {}".format(module, type(error).__name__, error))
    else:
        print("import {}: {:.2f} s".format(module, time.perf_counter() - begin))

print(len(list(metadata.distributions())), "packages installed")
for failure in failures:
    print("FAILED", failure)
sys.exit(bool(failures))
