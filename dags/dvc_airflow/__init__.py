"""DVC pipelines as Airflow DAGs. README.md says how to use this in a repository of your own."""
