"""Reading and writing PyTorch checkpoints without PyTorch and without executing pickled code."""
