import keras
import numpy as np
import pytest
from reference import golden
from tiny import tiny_model

import keras_deeplab as kd
from keras_deeplab.runtimes.keras_runtime import logits_function


@pytest.fixture
def validation():
    return [
        (
            golden.make_image_u8(f"callback {index}", *size),
            golden.make_label(f"callback {index}", 1, *size, 3)[0].astype("uint8"),
        )
        for index, size in enumerate(((40, 56), (33, 64), (48, 32)))
    ]


def test_model_checkpoint_sees_what_evaluate_says(validation, tmp_path):
    model = tiny_model(3, aux_head=True)
    kd.compile_for_training(model, kd.Recipe(steps=4, learning_rate=0.02))
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    labels = golden.make_label("train", 4, 32, 32, 3)
    seen = []
    history = model.fit(
        images,
        labels,
        batch_size=2,
        epochs=2,
        verbose=0,
        callbacks=[
            kd.callbacks.MeanIoU(validation, 3, flip=True),
            keras.callbacks.ModelCheckpoint(
                str(tmp_path / "best.weights.h5"),
                monitor="val_miou",
                mode="max",
                save_best_only=True,
                save_weights_only=True,
            ),
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: seen.append(
                    [
                        kd.evaluate(model, validation, num_classes=3, flip=flip).result()["mIoU"]
                        for flip in (False, True)
                    ]
                )
            ),
        ],
    ).history
    recorded = np.transpose([history["val_miou"], history["val_miou_flip"]])
    np.testing.assert_array_equal(recorded, seen)
    assert (tmp_path / "best.weights.h5").exists()
    assert logits_function(model).__closure__[0].cell_contents.experimental_get_tracing_count() == 1


def test_every_other_epoch(validation):
    model = tiny_model(3)
    kd.compile_for_training(model, kd.Recipe(steps=2))
    images, labels = np.zeros((2, 32, 32, 3), "uint8"), np.zeros((2, 32, 32), "uint8")
    callback = kd.callbacks.MeanIoU(validation[:1], 3, every=2)
    recorded = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: recorded.append("val_miou" in logs)
    )
    model.fit(images, labels, epochs=2, verbose=0, callbacks=[callback, watch])
    assert recorded == [False, True]
