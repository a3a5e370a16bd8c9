"""Loading and saving weights: Keras files, PyTorch state dicts, other input channels, parity."""
