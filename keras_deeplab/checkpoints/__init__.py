"""Weights in and out: Keras files, reference state dicts, other input channels, parity."""
