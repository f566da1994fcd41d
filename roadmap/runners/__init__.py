"""Remote runners for training: `runner:` in params.yaml names a module here."""
