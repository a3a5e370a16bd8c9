"""Datasets of image and mask files: folders, pairs, checks, rasters, windows, unreadable files."""
