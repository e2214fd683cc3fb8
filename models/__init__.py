"""Classifiers, their pretrained weights and their losses. Knows nothing of data sets."""
