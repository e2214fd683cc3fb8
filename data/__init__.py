"""Data: files to uint8 batches: prepare, decode, split, augment, load. Knows nothing of models."""
