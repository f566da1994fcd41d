"""A project that tests add to a checkout as pipelines/throw_away."""
