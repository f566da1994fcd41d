"""Other people's servers, as far as our code talks to them: AWS, GitHub, Kubernetes, registries."""
