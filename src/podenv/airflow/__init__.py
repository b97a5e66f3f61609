"""podenv inside Airflow: the only place that imports it."""
