"""From image files to uint8 batches. Knows nothing of models."""
