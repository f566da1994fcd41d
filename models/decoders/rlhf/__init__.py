"""A language model that learns from preferences: a reward model, then PPO, DPO or GRPO."""
