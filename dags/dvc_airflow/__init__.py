"""DVC pipelines as Airflow DAGs. README.md describes how to use the package in your own repository."""
