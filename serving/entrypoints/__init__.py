"""Entry points: server process, Lambda function, SageMaker container, bundle download."""
