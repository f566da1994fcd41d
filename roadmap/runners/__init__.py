"""Where training runs besides this machine: `runner:` in params.yaml names a module here."""
