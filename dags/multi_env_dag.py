"""Ingest, clean, train: three tasks, three environments whose libraries cannot live together.

`ingest` was written for pandas 1.5, `clean` for pandas 2.1 and numpy 1.26; `train` wants Python 3.13, numpy 2, polars
and a current scikit-learn: no two of them could share an environment (`podenv plan` says why). A file goes from the
first to the second, a table from the second to the third: through storage, each read as what its parameter's annotation
names. On pods that needs a bucket (`[podenv] exchange`); local runs use a folder. Each task says on which versions it
really ran, through `versions` of a module beside this file: what a task uses of its own project travels with it.
"""

from typing import TYPE_CHECKING

from airflow.sdk import dag, task
from common.versions import versions

if TYPE_CHECKING:
    from pathlib import Path

    import polars


@dag(schedule=None, tags=["podenv"])
def multi_env_dag():
    @task.env("data-ingestion", memory="512Mi")
    def ingest() -> dict:
        """The raw rows of the Palmer penguins, with their missing values, as a file."""
        from pathlib import Path
        from tempfile import mkdtemp

        from palmerpenguins import load_penguins_raw

        raw = load_penguins_raw()
        file = Path(mkdtemp(), "penguins.csv")
        raw.to_csv(file, index=False)
        print(f"{len(raw)} raw rows")
        return {"file": file, "ran_on": versions("numpy", "pandas")}

    @task.env("data-cleaning", memory="512Mi")
    def clean(file: "Path") -> dict:
        """The rows with all four measurements, under short names, as a DataFrame of pandas."""
        import pandas

        measurements = {
            "Culmen Length (mm)": "bill_length_mm",
            "Culmen Depth (mm)": "bill_depth_mm",
            "Flipper Length (mm)": "flipper_length_mm",
            "Body Mass (g)": "body_mass_g",
        }
        frame = pandas.read_csv(file).rename(columns={**measurements, "Species": "species"})
        frame["species"] = frame["species"].str.split().str[0]  # "Adelie Penguin (Pygoscelis adeliae)"
        kept = frame[["species", *measurements.values()]].dropna(ignore_index=True)
        print(f"{len(kept)} of {len(frame)} rows are complete")
        return {"rows": kept, "ran_on": versions("numpy", "pandas")}

    @task.env("model-training", cpu="1", memory="1Gi", max_memory="2Gi")
    def train(rows: "polars.DataFrame", ingested_on: dict, cleaned_on: dict) -> dict:
        """The accuracy of a classifier of species on rows that it was not trained on, and what each stage ran on."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import train_test_split
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        learn, judge, learn_species, judge_species = train_test_split(
            rows.drop("species").to_numpy(),
            rows["species"].to_list(),
            test_size=0.25,
            stratify=rows["species"].to_list(),
            random_state=0,
        )
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(learn, learn_species)
        accuracy = model.score(judge, judge_species)
        print(f"accuracy {accuracy:.3f} on {len(judge)} rows that the model had not seen")
        return {
            "accuracy": accuracy,
            "trained_on_rows": len(learn),
            "held_out_rows": len(judge),
            "ran_on": {
                "ingest": ingested_on,
                "clean": cleaned_on,
                "train": versions("numpy", "polars", "scikit-learn"),
            },
        }

    raw = ingest()
    cleaned = clean(raw["file"])
    train(cleaned["rows"], ingested_on=raw["ran_on"], cleaned_on=cleaned["ran_on"])


multi_env_dag()
