"""A training run: fit loop, run folder, history, progress, interruption, TensorBoard."""
