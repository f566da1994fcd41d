"""The middleware: auth, body limits, telemetry, headers."""
