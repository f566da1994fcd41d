"""The model server: HTTP inference, batch inference, and observability. No torch."""
