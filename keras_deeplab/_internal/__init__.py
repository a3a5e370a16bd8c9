"""Helpers of the package that are not public API: files, error lists, names, resources."""
