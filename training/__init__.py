"""Training: one run, from a config to best_model.pt."""
