"""params.yaml: its schema, its validation, and the command line of a stage."""
