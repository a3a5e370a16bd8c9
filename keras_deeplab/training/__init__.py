"""What a training optimises and how: recipe, losses, optimizers, callbacks."""
