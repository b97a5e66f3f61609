"""A task with retries."""

from airflow.sdk import dag, task


@dag(schedule=None)
def retried():
    @task.env("plain", retries=3)
    def work() -> str:
        return "worked"

    work()


retried()
