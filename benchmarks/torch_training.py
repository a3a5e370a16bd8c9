"""Training of `efl0_d16` in PyTorch, the peer of `training_twin.py`: AdamW, cosine, cross-entropy.

Written for PyTorch alone: of this package only the numbers of a `Recipe` are read.
"""

import math

import torch
from torch.nn.functional import cross_entropy, one_hot
from torch_deeplab import LITE0, DeepLab

IGNORE = 255
MEAN, STD = 127.0, 128.0
BETAS, EPSILON = (0.9, 0.999), 1e-7  # epsilon is Keras's default
DICE_EPSILON = 1e-7


def learning_rate(recipe, step):
    """Linear warm-up from 0, then half a cosine."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * step / recipe.warmup_steps
    share = (step - recipe.warmup_steps) / (recipe.steps - recipe.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return recipe.final_learning_rate + cosine * (recipe.learning_rate - recipe.final_learning_rate)


def dice_loss(logits, labels):
    """1 - Dice of the softmax, averaged over the labelled classes of an image, then over images."""
    valid = (labels != IGNORE).unsqueeze(1)
    truth = one_hot(labels.where(labels != IGNORE, 0), logits.shape[1]).permute(0, 3, 1, 2)
    truth, probabilities = truth * valid, logits.softmax(1) * valid
    sums = truth.sum((2, 3)) + probabilities.sum((2, 3)) + DICE_EPSILON
    losses = 1 - 2 * (truth * probabilities).sum((2, 3)) / sums
    present = truth.sum((2, 3)) > 0
    return ((losses * present).sum(1) / present.sum(1).clamp(min=1)).mean()


class TorchTraining:
    """The network with its optimizer.

    Args:
        state_dict: NumPy arrays by name.
        recipe: `keras_deeplab.Recipe`.
        classes: Number of classes.
        dropout: Dropout of the head.
        dtype: `torch.float32` or `torch.float64`.
    """

    def __init__(self, state_dict, recipe, classes, *, dropout=0.0, dtype=torch.float32):
        self.recipe, self.dtype, self.done = recipe, dtype, 0
        self.network = DeepLab(LITE0, classes, auxiliary=False, dropout=dropout)
        tensors = {name: torch.tensor(array) for name, array in state_dict.items()}
        self.network.load_state_dict(tensors)
        self.network.to(dtype=dtype, memory_format=torch.channels_last)
        # All parameters decay, those of batch norms and the bias included, as PyTorch has it.
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), betas=BETAS, weight_decay=recipe.weight_decay
        )

    def step(self, images, labels):
        """Trains on a batch `(N, H, W, 3)` of 0..255 and `(N, H, W)`; returns the loss before."""
        self.network.train()
        (logits,) = self.network(self.normalised(images))
        labels = torch.tensor(labels, dtype=torch.int64)
        loss = sum(
            weight * {"crossentropy": pixel_loss, "dice": dice_loss}[name](logits, labels)
            for name, weight in self.recipe.loss.items()
        )
        self.optimizer.zero_grad()
        loss.backward()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.done)
            # Keras adds epsilon before it corrects the bias of the second moment, PyTorch after.
            group["eps"] = EPSILON / math.sqrt(1 - BETAS[1] ** (self.done + 1))
        self.optimizer.step()
        self.done += 1
        return loss.item()

    @torch.no_grad()
    def logits(self, images):
        """Logits `(N, H, W, classes)` in inference."""
        self.network.eval()
        return self.network(self.normalised(images))[0].permute(0, 2, 3, 1).numpy()

    def normalised(self, images):
        """The batch as the network takes it."""
        pixels = torch.tensor(images, dtype=self.dtype).permute(0, 3, 1, 2)
        return (pixels - MEAN) / STD

    def state_dict(self):
        """The weights as NumPy arrays by name."""
        return {name: tensor.numpy() for name, tensor in self.network.state_dict().items()}


def pixel_loss(logits, labels):
    """Cross-entropy, averaged over the valid pixels of the batch."""
    return cross_entropy(logits, labels, ignore_index=IGNORE)
