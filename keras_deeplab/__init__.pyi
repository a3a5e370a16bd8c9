# The public names: read by type checkers, and by `__init__.py`, which imports them lazily.

from . import data as data
from .checkpoints.errors import CheckpointError as CheckpointError
from .checkpoints.loading import load_weights as load_weights
from .checkpoints.pytorch.reader import read_torch_checkpoint as read_torch_checkpoint
from .checkpoints.state_dict import load_state_dict as load_state_dict
from .checkpoints.tensorflow.reader import read_tensorflow_checkpoint as read_tensorflow_checkpoint
from .downloads.cache import DownloadError as DownloadError
from .evaluation import metrics as metrics
from .evaluation.dataset import evaluate as evaluate
from .models.variants import list_variants as list_variants
from .prediction.image import predict as predict
from .prediction.overlay import overlay as overlay
from .prediction.raster.scenes import predict_raster as predict_raster
from .prediction.vector.vectorizing import vectorize as vectorize
from .runtimes.compiling import compile_for_inference as compile_for_inference
from .runtimes.exporting import export as export
from .runtimes.predictor import Predictor as Predictor
from .training import callbacks as callbacks
from .training.compiling import compile_for_training as compile_for_training
from .training.loop.run import train as train
from .training.recipe import Recipe as Recipe
from .zoo.builder import build as build
from .zoo.loader import load as load
from .zoo.manifest import info as info
from .zoo.manifest import list_models as list_models
from .zoo.metadata import ModelMetadata as ModelMetadata

__version__: str
