"""Training and evaluation: optimisation, checkpoints, metrics, prediction."""
