"""MLflow's registry, as a deployment sees it: the champion, the aliases that servers follow, and the way back."""
