"""The page in Airflow's web UI: environments, who uses them, what they used, what failed and why. It only reads."""
