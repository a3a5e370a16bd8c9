"""What the Click commands in scripts/ share: the group, option groups, TensorFlow start-up."""
