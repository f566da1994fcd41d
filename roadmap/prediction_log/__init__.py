"""The prediction log: requests and predictions of production, and their labels."""
