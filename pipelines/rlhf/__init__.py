"""A small language model that learns from preferences: reward model, PPO, DPO and GRPO."""
