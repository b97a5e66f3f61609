"""DAGs on this machine, for `podenv run` and `podenv usage`.

`home.prepare` comes first, before anything imports Airflow, which reads its settings when it is imported. So the
modules here import `podenv.airflow` inside their functions.
"""
