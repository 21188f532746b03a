"""Better nominal settings for the whole process, by Bayesian optimisation over its network of steps."""
