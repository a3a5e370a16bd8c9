"""One image in, class probabilities out: protocols, views, overlay."""
