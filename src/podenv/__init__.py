"""Every task of an Airflow pipeline in an environment of its own: locked, with its own Python."""
