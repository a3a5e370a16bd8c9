"""What every room needs and no user calls: atomic files, error lists, names, resources."""
