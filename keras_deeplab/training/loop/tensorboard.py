"""A training run in TensorBoard: curves, the IoU of each class, and pictures of predictions."""

import io
import itertools
import pathlib
import time

import keras
from PIL import Image

from keras_deeplab.data.drawing import blend
from keras_deeplab.evaluation.predictions import single_images
from keras_deeplab.prediction.image import predict
from keras_deeplab.prediction.overlay import as_picture
from keras_deeplab.training.loop.averaging import averaged_weights

EVENTS = "tensorboard"  # folder of the event files in that of the run
SHOWN = 4  # samples
LONGEST_SIDE = 512  # pixels; larger pictures only make the event file large


class TensorBoardLog(keras.callbacks.Callback):
    """Writes event files while `model.fit` goes on; see them with `tensorboard --logdir`.

    List it behind `scores`. The horizontal axis counts training steps. A resumed run continues its
    curves: what was written behind `step` before the interruption is not shown.

    Args:
        folder: The run's folder; the event files lie in `tensorboard` in it.
        classes: `ClassTable`.
        scores: The `MeanIoU` callback of the run, or `None` for one without validation.
        samples: Dataset of `(image, label)`, `(H, W, C)` 0..255 and `(H, W)`, whose first ones are
            shown at the end of every epoch: prediction, image and label, side by side.
        every: Steps between two points of the loss and the learning rate.
        step: Steps already taken.
    """

    def __init__(self, folder, classes, *, scores=None, samples=(), every=10, step=0):
        super().__init__()
        self.folder = pathlib.Path(folder) / EVENTS
        self.classes = classes
        self.scores = scores
        self.samples = samples
        self.every = every
        self.step = step
        self._writer = None

    def on_train_begin(self, logs=None):
        if self._writer is None:
            self._writer = _EventWriter(self.folder, self.step)

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.step % self.every:
            return
        optimizer = self.model.optimizer
        rates = {"train/loss": logs["loss"], "train/learning_rate": optimizer.learning_rate}
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):  # of float16
            rates["train/loss_scale"] = optimizer.dynamic_scale
        self._writer.scalars(rates, self.step)

    def on_epoch_end(self, epoch, logs=None):
        validation = {name: logs[name] for name in logs if name.startswith("val_")}
        scalars = {f"validation/{name[4:]}": value for name, value in validation.items()}
        if validation and self.scores is not None:
            per_class = self.scores.metrics.result()["per_class"]["IoU"]
            for name, iou in zip(self.classes.names, per_class, strict=True):
                scalars[f"IoU/{name}"] = iou
        self._writer.scalars(scalars, self.step)
        with averaged_weights(self.model):
            pictures = {
                f"samples/{index}": side_by_side(self.model, *sample, self.classes)
                for index, sample in enumerate(itertools.islice(single_images(self.samples), SHOWN))
            }
        self._writer.pictures(pictures, self.step)

    def close(self):
        """Closes the event file."""
        if self._writer is not None:
            self._writer.close()


def side_by_side(model, image, label, classes):
    """The prediction over an image, the image, and its label over it, beside each other.

    Args:
        model: Model of logits, see `keras_deeplab.predict`.
        image: `(H, W, C)` 0..255, uint8 or float32.
        label: `(H, W)` class indices, 255 where ignored.
        classes: `ClassTable`.

    Returns:
        `PIL.Image.Image`, RGB: three pictures of the image's size, or smaller ones whose longer
        side is 512 pixels.
    """
    prediction = predict(model, image).argmax(-1)
    shown = as_picture(image)
    parts = [blend(shown, prediction, classes), shown, blend(shown, label, classes)]
    pictures = [Image.fromarray(part) for part in parts]
    for picture in pictures:
        # Without smoothing, which would mix the colours of classes.
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.NEAREST)
    width, height = pictures[0].size
    row = Image.new("RGB", (3 * width, height))
    for index, picture in enumerate(pictures):
        row.paste(picture, (index * width, 0))
    return row


class _EventWriter:
    """One event file, which readers see up to the last call at any time.

    TensorBoard's own writer stands behind it: that of `tf.summary` cannot mark where a resumed run
    begins.

    Args:
        folder: Where the event files of the run lie.
        step: Steps already taken; readers drop later ones of earlier files.
    """

    def __init__(self, folder, step):
        # Here, because these take a moment and only training needs them.
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = Event, Summary
        self._file = EventFileWriter(str(folder))
        self._add(step + 1, session_log=SessionLog(status=SessionLog.START))

    def scalars(self, values, step):
        """Adds a point to each curve of `{tag: number}`."""
        self._add_summary(
            [self._summary.Value(tag=tag, simple_value=float(values[tag])) for tag in values], step
        )

    def pictures(self, pictures, step):
        """Adds the RGB pictures of `{tag: PIL.Image.Image}`."""
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

    def close(self):
        self._file.close()

    def _add_summary(self, values, step):
        if values:
            self._add(step, summary=self._summary(value=values))

    def _add(self, step, **content):
        self._file.add_event(self._event(wall_time=time.time(), step=step, **content))
        self._file.flush()
