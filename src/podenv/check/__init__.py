"""Rules over tasks and locks, held before anything runs: no cluster, no virtual environment, no Airflow."""
