"""Models by name: the manifest, trained weights, run folders, and the public `build` and `load`."""
