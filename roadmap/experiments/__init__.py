"""Champion against challenger on live requests, by a test that allows daily peeking."""
