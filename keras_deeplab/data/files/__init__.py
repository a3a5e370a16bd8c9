"""The user's own images and masks: folders, pairs, checks, rasters, windows, unreadable files."""
