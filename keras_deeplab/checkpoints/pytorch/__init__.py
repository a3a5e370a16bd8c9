"""PyTorch checkpoints, read and written without PyTorch and without executing anything."""
