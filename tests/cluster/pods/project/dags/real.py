"""What needs a real task runner around it: deferral, retries, timeouts, XComs between tasks."""

from datetime import timedelta

from airflow.sdk import dag, task


@dag(schedule=None, default_args={"retry_delay": timedelta(0)})
def real():
    @task.env("plain")
    def produce() -> list:
        print("produced")
        return [1, 2, 3]

    @task.env("plain")
    def double(number: int) -> int:
        return 2 * number

    @task.env("plain", retries=1)
    def second_try(try_number=None) -> int:
        if try_number < 2:
            raise RuntimeError("not yet")
        return try_number

    @task.env("plain", execution_timeout=timedelta(seconds=4))
    def too_long() -> None:
        import time

        time.sleep(300)

    @task.env("plain", retries=3)
    def no_json() -> dict:
        return {"raw": b"bytes"}

    double.expand(number=produce())
    second_try()
    too_long()
    no_json()


@dag(schedule=None)
def deferred():
    @task.env("plain", deferrable=True, poll_interval=0.5)
    def value(name: str) -> str:
        import time

        print("deferred, and back")
        time.sleep(2)
        return f"hello {name}"

    @task.env("plain", deferrable=True, poll_interval=0.5)
    def fails() -> None:
        raise LookupError("on purpose")

    @task.env("plain", deferrable=True, poll_interval=0.5, memory="100Mi", max_memory="400Mi")
    def grows() -> int:
        return len(bytearray(150_000_000))

    @task.env("plain", deferrable=True, poll_interval=0.5, image="127.0.0.1:5000/podenv-tests/none:1")
    def no_image() -> None:
        """Never runs."""

    @task.env("plain", deferrable=True, poll_interval=0.5, execution_timeout=timedelta(seconds=5))
    def too_long() -> None:
        import time

        time.sleep(300)

    value("you")
    fails()
    grows()
    no_image()
    too_long()


@dag(schedule=None)
def learned():
    @task.env("plain", memory="auto", max_memory="400Mi")
    def grows() -> int:
        return len(bytearray(150_000_000))

    @task.env("plain", memory="auto", max_memory="400Mi", deferrable=True, poll_interval=0.5)
    def grows_deferred() -> int:
        return len(bytearray(150_000_000))

    grows()
    grows_deferred()


@dag(schedule=None)
def interrupted():
    @task.env("plain")
    def sleeps() -> None:
        import time

        print("asleep")
        time.sleep(300)

    sleeps()


real()
deferred()
learned()
interrupted()
