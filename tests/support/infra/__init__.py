"""Shared by the tests of infra/ and of the workflows."""
