"""Polygons of class maps, in bounded memory."""
