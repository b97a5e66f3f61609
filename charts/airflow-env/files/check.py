"""What `helm test` runs inside the image: check.py PYTHON [MODULE...]; standard library only, Python 3.8 or newer."""

import importlib
import sys
import time
from importlib import metadata

wanted, modules = sys.argv[1], sys.argv[2:]
failures = []

found = "{}.{}".format(*sys.version_info[:2])
print("Python", sys.version.split()[0])
if found != wanted:
    failures.append("the image has Python {}, the values say {}".format(found, wanted))

for module in modules:
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
