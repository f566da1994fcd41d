"""The other servers, each with the same bundle."""
