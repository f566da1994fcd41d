"""Images, stacks, deployments and Airflow: what runs the pipeline and the server. It knows no model."""
