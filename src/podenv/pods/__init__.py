"""The engine that creates, adopts, follows, relaunches and ends the pods of a task. It knows no Airflow."""
