"""AWS, in so far as our code talks to it: CloudFormation, ECS, Lambda, SageMaker."""
