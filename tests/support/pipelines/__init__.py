"""Shared by the tests of pipelines/."""
