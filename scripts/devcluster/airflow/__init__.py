"""Airflow in pods of the dev cluster, with the names and rights of Airflow's official chart."""
