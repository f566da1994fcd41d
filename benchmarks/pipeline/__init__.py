"""What `dvc repro` and Airflow cost besides training."""
