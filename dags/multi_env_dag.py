"""Ingest, clean, train: three tasks, three environments whose libraries cannot live together.

`ingest` was written for pandas 1.5, `clean` for pandas 2.1 and numpy 1.26; `train` wants Python 3.13, numpy 2 and a
current scikit-learn: no two of them could share an environment (`podenv plan` says why). Values travel between them as
XComs, so they are plain lists and dicts. Each task says on which versions it really ran, through `versions` of a module
beside this file: what a task uses of its own project travels with it.
"""

from airflow.sdk import dag, task
from common.versions import versions


@dag(schedule=None, tags=["podenv"])
def multi_env_dag():
    @task.env("data-ingestion", memory="512Mi")
    def ingest() -> dict:
        """The raw rows of the Palmer penguins, with their missing values."""
        from palmerpenguins import load_penguins_raw

        raw = load_penguins_raw()
        # NaN is no JSON: a missing value travels as None.
        rows = raw.astype(object).where(raw.notna(), None).to_dict("records")
        print(f"{len(rows)} raw rows")
        return {"rows": rows, "ran_on": versions("numpy", "pandas")}

    @task.env("data-cleaning", memory="512Mi")
    def clean(rows: list[dict]) -> dict:
        """The rows with all four measurements, under short names."""
        import pandas

        measurements = {
            "Culmen Length (mm)": "bill_length_mm",
            "Culmen Depth (mm)": "bill_depth_mm",
            "Flipper Length (mm)": "flipper_length_mm",
            "Body Mass (g)": "body_mass_g",
        }
        frame = pandas.DataFrame(rows).rename(columns={**measurements, "Species": "species"})
        frame["species"] = frame["species"].str.split().str[0]  # "Adelie Penguin (Pygoscelis adeliae)"
        kept = frame[["species", *measurements.values()]].dropna()
        print(f"{len(kept)} of {len(frame)} rows are complete")
        return {"rows": kept.to_dict("records"), "ran_on": versions("numpy", "pandas")}

    @task.env("model-training", cpu="1", memory="1Gi", max_memory="2Gi")
    def train(rows: list[dict], ingested_on: dict, cleaned_on: dict) -> dict:
        """The accuracy of a classifier of species on rows that it was not trained on, and what each stage ran on."""
        import numpy
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import train_test_split
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        species = [row["species"] for row in rows]
        measured = numpy.array([[value for name, value in row.items() if name != "species"] for row in rows])
        learn, judge, learn_species, judge_species = train_test_split(
            measured, species, test_size=0.25, stratify=species, random_state=0
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
                "train": versions("numpy", "scikit-learn"),
            },
        }

    raw = ingest()
    cleaned = clean(raw["rows"])
    train(cleaned["rows"], ingested_on=raw["ran_on"], cleaned_on=cleaned["ran_on"])


multi_env_dag()
