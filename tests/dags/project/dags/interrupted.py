"""Tasks that are ended from outside while they run."""

from airflow.sdk import dag, task

from podenv import run_in_env


def sleep_with_a_child(marker: str) -> str:
    import subprocess
    import sys

    print("asleep")
    subprocess.run([sys.executable, "-c", f"import time; time.sleep(300)  # {marker}"])
    return "woke up"


@dag(schedule=None, params={"marker": ""})
def interrupted():
    @task.env("plain")
    def decorated(marker: str) -> str:
        import subprocess
        import sys

        print("asleep")
        subprocess.run([sys.executable, "-c", f"import time; time.sleep(300)  # {marker}"])
        return "woke up"

    @task
    def plain_task(params=None) -> str:
        return run_in_env("plain", sleep_with_a_child, params["marker"])

    decorated("{{ params.marker }}")
    plain_task()


interrupted()
