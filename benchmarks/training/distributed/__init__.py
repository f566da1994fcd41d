"""Training by several processes against one: the same losses, gradients and weights, and what was sent for them."""
