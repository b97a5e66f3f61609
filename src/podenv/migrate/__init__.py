"""From Airflow's own environments of tasks to podenv's: DAG files are read, environments proposed, files edited.

Nothing of a DAG file is executed and Airflow is not imported. What the file alone does not say for certain is left as
it is, and named.
"""
