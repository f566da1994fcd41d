"""control: policies that learn by acting."""
