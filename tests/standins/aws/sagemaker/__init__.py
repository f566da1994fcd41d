"""SageMaker: its API, endpoints that serve and training jobs that train."""
