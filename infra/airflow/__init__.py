"""Airflow on this machine or several: `up.sh`, `worker.sh`, and a client that triggers runs."""
