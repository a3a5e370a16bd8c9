"""A training run in TensorBoard: curves, IoU per class, and sample predictions."""

import io
import itertools
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from PIL import Image

from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.drawing import blend
from keras_deeplab.evaluation.predictions import LabelledImages, single_images
from keras_deeplab.prediction.image import predict
from keras_deeplab.prediction.overlay import as_picture
from keras_deeplab.training.callbacks import MeanIoU
from keras_deeplab.training.loop.averaging import averaged_weights

EVENTS = "tensorboard"  # folder of the event files inside the run folder
SHOWN = 4  # samples
LONGEST_SIDE = 512  # pixels; limits the size of the event file


class TensorBoardLog(keras.callbacks.Callback):
    """Writes event files during `model.fit`; view them with `tensorboard --logdir`.

    Put it after `scores`. The horizontal axis counts training steps. A resumed run continues its
    curves: points after `step` from before the interruption are not shown.

    Args:
        folder: The run folder; the event files are in its subfolder `tensorboard`.
        classes: Names and colours of the classes.
        scores: The `MeanIoU` callback of the run, or `None` for a run without validation.
        samples: Dataset of `(image, label)`, `(H, W, C)` 0..255 and `(H, W)`. The first samples are
            shown at the end of every epoch: prediction, image and label, side by side.
        every: Steps between two points of the loss and the learning rate.
        step: Steps already done.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        classes: ClassTable,
        *,
        scores: MeanIoU | None = None,
        samples: LabelledImages = (),
        every: int = 10,
        step: int = 0,
    ) -> None:
        super().__init__()
        self.folder = pathlib.Path(folder) / EVENTS
        self.classes = classes
        self.scores = scores
        self.samples = samples
        self.every = every
        self.step = step
        self._writer: _EventWriter | None = None

    def _events(self) -> "_EventWriter":
        if self._writer is None:
            self._writer = _EventWriter(self.folder, self.step)
        return self._writer

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._events()  # marks where this process continues the curves

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        self.step += 1
        if self.step % self.every:
            return
        optimizer = self.model.optimizer
        rates = {"train/loss": logs["loss"], "train/learning_rate": optimizer.learning_rate}
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):  # of float16
            rates["train/loss_scale"] = optimizer.dynamic_scale
        self._events().scalars(rates, self.step)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        validation = {name: logs[name] for name in logs if name.startswith("val_")}
        scalars = {f"validation/{name[4:]}": value for name, value in validation.items()}
        if validation and self.scores is not None and self.scores.metrics is not None:
            per_class = self.scores.metrics.result()["per_class"]["IoU"]
            for name, iou in zip(self.classes.names, per_class, strict=True):
                scalars[f"IoU/{name}"] = iou
        self._events().scalars(scalars, self.step)
        with averaged_weights(self.model):
            pictures = {
                f"samples/{index}": side_by_side(self.model, *sample, self.classes)
                for index, sample in enumerate(itertools.islice(single_images(self.samples), SHOWN))
            }
        self._events().pictures(pictures, self.step)

    def close(self) -> None:
        """Closes the event file."""
        if self._writer is not None:
            self._writer.close()


def side_by_side(
    model: keras.Model, image: np.ndarray, label: np.ndarray, classes: ClassTable
) -> Image.Image:
    """Image blended with the prediction, image alone, and image blended with the label.

    Args:
        model: Model of logits, see `keras_deeplab.predict`.
        image: `(H, W, C)` 0..255, uint8 or float32.
        label: `(H, W)` class indices, 255 where ignored.
        classes: Names and colours of the classes.

    Returns:
        RGB picture: three parts of the size of the image, scaled down to at most 512 pixels on the
        longer side.
    """
    prediction = predict(model, image).argmax(-1)
    shown = as_picture(image)
    parts = [blend(shown, prediction, classes), shown, blend(shown, label, classes)]
    pictures = [Image.fromarray(part) for part in parts]
    for picture in pictures:
        # Interpolation would mix class colours.
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.NEAREST)
    width, height = pictures[0].size
    row = Image.new("RGB", (3 * width, height))
    for index, picture in enumerate(pictures):
        row.paste(picture, (index * width, 0))
    return row


class _EventWriter:
    """Writes one event file and flushes it after each call.

    It uses TensorBoard's own writer: the writer of `tf.summary` cannot mark where a resumed run
    begins.

    Args:
        folder: Folder of the event files.
        step: Steps already done; readers drop later steps of earlier files.
    """

    def __init__(self, folder: pathlib.Path, step: int) -> None:
        # Imported here because it is slow and only training needs it.
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = Event, Summary
        self._file = EventFileWriter(str(folder))
        self._add(step + 1, session_log=SessionLog(status=SessionLog.START))

    def scalars(self, values: Mapping[str, Any], step: int) -> None:
        """Adds a point to each curve, `{tag: number}`."""
        self._add_summary(
            [self._summary.Value(tag=tag, simple_value=float(values[tag])) for tag in values], step
        )

    def pictures(self, pictures: Mapping[str, Image.Image], step: int) -> None:
        """Adds RGB pictures, `{tag: picture}`."""
        values = []
        for tag, picture in pictures.items():
            content = io.BytesIO()
            picture.save(content, "PNG")
            image = self._summary.Image(
                width=picture.width,
                height=picture.height,
                colorspace=3,  # RGB
                encoded_image_string=content.getvalue(),
            )
            values.append(self._summary.Value(tag=tag, image=image))
        self._add_summary(values, step)

    def close(self) -> None:
        self._file.close()

    def _add_summary(self, values: list[Any], step: int) -> None:
        if values:
            self._add(step, summary=self._summary(value=values))

    def _add(self, step: int, **content: Any) -> None:
        self._file.add_event(self._event(wall_time=time.time(), step=step, **content))
        self._file.flush()
