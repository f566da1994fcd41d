"""SageMaker: its API, endpoints that answer and training jobs that train."""
