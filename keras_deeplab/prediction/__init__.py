"""Prediction of one image: protocols, views, overlay."""
