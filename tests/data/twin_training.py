"""Makes the fixture of twenty losses of `efl0_d16` in PyTorch, in float32 and in float64.

Run: pip install torch
     PYTHONPATH=tests:benchmarks python tests/data/twin_training.py
"""

import json

import torch
from reference import REFERENCE, twin_batches, twin_model, twin_recipe
from torch_training import TorchTraining

from keras_deeplab.checkpoints.state_dict import to_state_dict

FIXTURE = REFERENCE / "training" / "twin_efl0.json"


def main():
    arrays, recipe = to_state_dict(twin_model()), twin_recipe()
    fixture = {"torch": torch.__version__}
    for dtype in (torch.float32, torch.float64):
        training = TorchTraining(arrays, recipe, 2, dtype=dtype)
        losses = [training.step(*batch) for batch in twin_batches()]
        fixture[f"losses_{str(dtype).removeprefix('torch.')}"] = losses
        print(dtype, losses)
    FIXTURE.write_text(json.dumps(fixture, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
