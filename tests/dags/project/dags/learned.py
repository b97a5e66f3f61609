"""Memory that is auto: what one run needed is what the next one begins with."""

from airflow.sdk import dag, task


def hold(mebibytes: int) -> int:
    import time

    block = b"x" * (mebibytes << 20)
    time.sleep(0.3)
    return len(block) >> 20


@dag(schedule=None)
def learned():
    # The environment's own first figure is 64Mi.
    task.env("learned", task_id="grows")(hold)(100)
    task.env("learned", task_id="mapped")(hold).expand(mebibytes=[1, 100])

    @task.env("plain", memory="auto", max_memory="600Mi")
    def dies() -> int:
        return len(b"x" * (800 << 20))

    dies()


learned()
