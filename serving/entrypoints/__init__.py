"""How the server starts: as a process, as a Lambda function, and the fetch before it."""
