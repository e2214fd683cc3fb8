"""Prediction: checkpoints and images to class probabilities, and to the files that are handed in."""
