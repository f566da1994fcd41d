"""Stand-ins for the servers that our code calls: AWS, GitHub, Kubernetes, registries."""
