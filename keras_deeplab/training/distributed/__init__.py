"""Distributed training: `tf.distribute` strategies and worker processes."""
