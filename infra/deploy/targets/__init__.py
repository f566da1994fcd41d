"""Where a champion can be deployed to; a module per target and its helpers."""
