"""Networks that read a sentence and write another: the ladder from recurrence to attention, on one recipe."""
