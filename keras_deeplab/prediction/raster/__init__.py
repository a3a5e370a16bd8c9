"""Class maps of georeferenced scenes of any size, in bounded memory."""
