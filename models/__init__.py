"""Models: architectures, pretrained weights, losses, the checkpoint file. Knows nothing of data sets."""
