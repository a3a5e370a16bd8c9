"""Labelled images in, numbers out: metrics, boundaries, calibration, bootstrap, comparison."""
