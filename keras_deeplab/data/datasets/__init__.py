"""Published datasets as `tensorflow_datasets` builders; importing registers them by name."""

from keras_deeplab.data.datasets.builder import LabelledScenes
from keras_deeplab.data.datasets.isaid import Isaid
from keras_deeplab.data.datasets.loveda import LoveDA
from keras_deeplab.data.datasets.potsdam import Potsdam
from keras_deeplab.data.datasets.vaihingen import Vaihingen

BUILDERS: dict[str, type[LabelledScenes]] = {
    builder.name: builder for builder in (Isaid, LoveDA, Potsdam, Vaihingen)
}
