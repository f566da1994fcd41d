"""The whole platform in containers: `make up`."""
