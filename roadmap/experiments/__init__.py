"""Champion against challenger on live requests, by a test that may be looked at every day."""
