"""The parts of AWS that our code calls: CloudFormation, ECS, Lambda, SageMaker."""
