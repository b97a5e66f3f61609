"""One task in an environment of its own.

`data-ingestion` is a folder in `envs/`: the Python and the packages that `ingest` needs. Airflow itself has none of
them; the import stands inside the function because only the environment can do it.
"""

from airflow.sdk import dag, task


@dag(schedule=None, tags=["podenv"])
def data_ingestion_dag():
    @task.env("data-ingestion", memory="512Mi")
    def ingest() -> dict:
        """Read the 344 raw rows of the Palmer penguins and say what is missing in them."""
        from palmerpenguins import load_penguins_raw

        raw = load_penguins_raw()
        missing = raw.isna().sum()
        print(f"{len(raw)} rows, {raw.shape[1]} columns, {missing.sum()} values missing")
        return {"rows": len(raw), "missing": missing[missing > 0].to_dict()}

    ingest()


data_ingestion_dag()
