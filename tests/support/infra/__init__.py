"""What the tests of infra/ and of its workflows share."""
