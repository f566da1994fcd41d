"""params.yaml: its schema, the errors a caller can mend, and the command line of a stage."""
