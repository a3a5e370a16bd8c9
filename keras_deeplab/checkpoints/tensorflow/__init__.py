"""Official TensorFlow checkpoints of DeepLab: archives, variables, and their names."""
