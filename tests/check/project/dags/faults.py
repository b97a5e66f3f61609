# ruff: noqa: UP036, PTH123  # what is tested here is old on purpose
"""Faults that `podenv check` finds, and a few that it cannot see: one to each function, as its first line says.

`# finds: <rule>` stands on the line of the finding; `# unseen: why` where nothing can be said without running it.
"""

from airflow.sdk import dag, task

from podenv import EnvPodOperator, run_in_env

LIMIT = 3


@dag(schedule=None)
def faults():
    # Imports

    @task.env("clean")
    def module_of_another_environment():
        import sklearn  # finds: import

        return sklearn.__version__

    @task.env("train")
    def module_of_no_environment():
        import xgboost  # finds: import

        return xgboost.__version__

    @task.env("train")
    def misspelt_module():
        import skleanr  # finds: import

        return skleanr.__version__

    @task.env("clean")
    def module_that_a_package_lacks():
        import pandas.io.nosuch  # finds: import

        return pandas.__version__

    @task.env("train")
    def removed_from_a_package():
        from sklearn.externals import joblib  # finds: import-name

        return joblib.cpu_count()

    @task.env("train")
    def by_import_module():
        import importlib

        return importlib.import_module("lightgbm").__version__  # finds: import

    @task.env("clean")
    def behind_the_wrong_version():
        import sys

        if sys.version_info >= (3, 11):
            import matplotlib  # finds: import

            return matplotlib.__version__
        return None

    @task.env("clean")
    def the_way_out_is_missing_too():
        try:
            import orjson as json
        except ImportError:
            import ujson as json  # finds: import

        return json.dumps([])

    @task.env("clean")
    def airflow_is_not_there():
        from airflow.sdk import Variable  # finds: import

        return Variable.get("x")

    # The standard library

    @task.env("train")
    def gone_in_3_12():
        import distutils.util  # finds: stdlib

        return distutils.util.strtobool("yes")

    @task.env("train")
    def gone_in_3_13():
        import cgi  # finds: stdlib

        return cgi.parse_header("a; b=c")[0]

    @task.env("train")
    def gone_in_3_12_too():
        import imp  # finds: stdlib

        return imp.get_magic().hex()

    @task.env("old")
    def not_yet_in_3_8():
        import tomllib  # finds: stdlib

        return tomllib.loads("")

    @task.env("old")
    def zoneinfo_came_later():
        from zoneinfo import ZoneInfo  # finds: stdlib

        return str(ZoneInfo("UTC"))

    # Syntax

    @task.env("old")
    def match_statement(kind: str):
        match kind:  # finds: syntax
            case "a":
                return 1

    @task.env("old")
    def parenthesised_with():
        with (  # finds: syntax
            open("/dev/null") as one,
            open("/dev/null") as other,
        ):
            return one.read() + other.read()

    @task.env("old")
    def group_of_exceptions():
        try:
            return 1
        except* ValueError:  # finds: syntax
            pass

    @task.env("old")
    def relaxed_decorator():
        def kept(function):
            return function

        @[kept][0]  # finds: syntax
        def inner():
            return 1

        return inner()

    # Names in modules

    @task.env("train")
    def misspelt_name():
        from sklearn.linear_model import LogisticRegresion  # finds: import-name

        return str(LogisticRegresion())

    @task.env("train")
    def removed_name():
        from sklearn.metrics import plot_confusion_matrix  # finds: import-name

        return str(plot_confusion_matrix)

    @task.env("train")
    def removed_alias():
        import numpy

        return numpy.float(3)  # finds: import-name

    @task.env("train")
    def removed_function():
        import numpy as np

        return bool(np.in1d([1], [1])[0]) and bool(np.product([1]))  # finds: import-name

    @task.env("clean")
    def not_in_this_version_of_the_library():
        from numpy import trapezoid  # finds: import-name

        return float(trapezoid([1, 2]))

    @task.env("clean")
    def not_in_this_standard_library():
        from itertools import batched  # finds: import-name

        return [list(one) for one in batched([1, 2], 1)]

    @task.env("train")
    def removed_from_the_standard_library():
        import unittest

        return unittest.makeSuite(unittest.TestCase).countTestCases()  # finds: import-name

    @task.env("train")
    def unseen_getattr_of_a_package():
        from sklearn.datasets import load_boston  # unseen: the package has a __getattr__ for it

        return len(load_boston())

    @task.env("old")
    def unseen_in_an_old_standard_library():
        import functools

        return functools.cache(len)("a")  # unseen: typeshed no longer knows 3.8

    # Objects

    @task.env("train")
    def attribute_of_a_text():
        import numpy

        return numpy.__version__.removeprefx("2")  # finds: attribute

    @task.env("train")
    def attribute_of_an_array():
        import numpy as np

        return np.zeros(3).to_list()  # finds: attribute

    @task.env("clean")
    def unseen_method_of_a_frame():
        import pandas as pd

        return len(pd.DataFrame().append({}))  # unseen: DataFrame has a __getattr__

    @task.env("train")
    def argument_that_is_gone():
        from sklearn.linear_model import LinearRegression

        return str(LinearRegression(normalize=True))  # finds: argument

    @task.env("clean")
    def argument_that_never_was():
        import datetime

        return datetime.timedelta(hour=2)  # finds: argument

    # What does not travel

    @task.env("clean")
    def needs_the_loader():
        return undefined_name + 1  # finds: not-carried  # noqa: F821

    # Values

    @task.env("train")
    def returns_an_array():
        import numpy as np

        return np.arange(3)  # finds: xcom-value

    @task.env("clean")
    def returns_bytes():
        return b"abc"  # finds: xcom-value

    @task.env("clean")
    def returns_a_set_of_keys():
        return {"a": 1}.keys()  # finds: xcom-value

    @task.env("clean")
    def returns_numbered_rows():
        return {1: "a", 2: "b"}  # finds: xcom-value

    @task.env("clean")
    def returns_a_frame():
        import pandas as pd

        return pd.DataFrame({"a": [1]})  # finds: xcom-value

    @task.env("clean")
    def returns_a_path():
        from pathlib import Path

        return {"written": [Path("/tmp/x")]}  # finds: xcom-value

    @task.env("clean")
    def unseen_series():
        import pandas as pd

        return pd.DataFrame({"a": [1]})["a"]  # unseen: its type is not inferred

    # Environments and limits

    @task.env("trian")  # finds: unknown-environment
    def misspelt_environment():
        return 1

    @task.env("clean", memory="8Gi")  # finds: limit
    def more_than_the_limit_range():
        import pandas

        return pandas.__version__

    @task.env("clean", memory="512m")  # finds: limit
    def half_a_byte():
        import pandas

        return pandas.__version__

    # Commands

    EnvPodOperator(
        task_id="no_such_program",
        env="clean",  # finds: command
        cmds=["papermill", "x.ipynb"],
    )
    EnvPodOperator(
        task_id="no_such_module",
        env="clean",  # finds: command
        cmds=["python", "-m", "streamlit", "run", "app.py"],
    )

    # Advice

    @task.env("clean")
    def through_another_package():
        import dateutil  # finds: transitive-import

        return dateutil.__version__

    @task
    def in_a_plain_task():
        return run_in_env("clean", needs_torch)


def needs_torch():
    import torch  # finds: import

    return torch.__version__


faults()
