"""`run_in_env`: one call in an environment, from the middle of a plain task.

A task that is Airflow's own can hand single steps to an environment and decide by their outcome what comes next. What
goes wrong there arrives here as a type of `podenv.errors`.
"""

from airflow.sdk import dag, task

from podenv import run_in_env
from podenv.errors import FunctionRaised


def count_by_species() -> dict:
    from palmerpenguins import load_penguins_raw

    return load_penguins_raw()["Species"].value_counts().to_dict()


def version_of_scikit_learn() -> str:
    import sklearn  # podenv: ignore[import]  # one of the two environments lacks it, on purpose

    return sklearn.__version__


@dag(schedule=None, tags=["podenv"])
def helper_func_dag():
    @task
    def explore() -> dict:
        """Count in one environment; look for scikit-learn where it is not, then where it is."""
        counts = run_in_env("data-ingestion", count_by_species)
        try:
            version = run_in_env("data-cleaning", version_of_scikit_learn)
        except FunctionRaised as error:
            # On purpose: data-cleaning has no scikit-learn, whatever the other environments have.
            print(f"As expected, {error}")
            refused = error.type
            version = run_in_env("model-training", version_of_scikit_learn)
        return {"counts": counts, "refused": refused, "scikit-learn": version}

    explore()


helper_func_dag()
