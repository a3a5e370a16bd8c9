"""Augmented training batches: resize, crop, flip, photometric distortion, strong augmentation."""
