"""Training: recipes, losses, optimizers, callbacks."""
