"""Several devices and machines: `tf.distribute` strategies and worker processes."""
