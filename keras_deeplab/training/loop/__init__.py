"""One training run: the fit loop, its folder, history, progress, interruption, TensorBoard."""
