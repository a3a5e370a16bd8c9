"""Where the time of `keras-deeplab predict` goes, from a cold start. Needs a filled cache.

Run: python benchmarks/predict_command.py [--runs 5]

The whole command is timed in new processes, with the fastest runtime and with Keras. The stages are
timed by the functions that it calls, in new processes, too. Of the runs the median is taken. The
first run of the command, which converts the model and measures the runtimes, is not counted.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from keras_deeplab._internal.processor import cpu_model, has_amx, has_bfloat16

IMAGE = pathlib.Path(__file__).parents[1] / "examples" / "dubai" / "images" / "tile3_part003.jpg"
MODEL = "r18_dubai"
STAGES = f"""
import json, sys, time
stamps = [("start", time.perf_counter())]
def done(stage): stamps.append((stage, time.perf_counter()))
from keras_deeplab.commands import evaluation_options
import numpy as np
from keras_deeplab.data.files.images import ImageFormat, read_image
from keras_deeplab.prediction.image import predict
from keras_deeplab.prediction.overlay import overlay
from keras_deeplab.runtimes.compiling import compile_for_inference, find_network
done("imports of this package")
metadata = find_network("{MODEL}").metadata
pixels, _ = read_image("{IMAGE}", ImageFormat().completed(metadata.form))
done("metadata, reading the image")
predictor = compile_for_inference("{MODEL}")
done("remembered choice")
predictor.compile(pixels.shape[:2])
done("import of the runtime, compiling")
logits = predictor(pixels[None])
done("first call")
classes = predict(predictor, pixels).argmax(-1).astype(np.uint8)
second = stamps[-1][1], time.perf_counter()
stamps.append(("-", second[1]))
overlay(pixels, classes, metadata.classes).save(sys.argv[1])
done("overlay, writing the picture")
assert "tensorflow" not in sys.modules
times = [(stage, end - stamps[index][1]) for index, (stage, end) in enumerate(stamps[1:])]
print(json.dumps([pair for pair in times if pair[0] != "-"]))
"""


def command(*options):
    """Seconds of the whole command in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        call = [sys.executable, "-m", "keras_deeplab.commands", "predict", str(IMAGE)]
        call += ["--model", MODEL, "--output", f"{folder}/overlay.png", *options]
        start = time.perf_counter()
        subprocess.run(call, check=True, capture_output=True)
        return time.perf_counter() - start


def stages():
    """Seconds of each stage in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        call = [sys.executable, "-c", STAGES, f"{folder}/overlay.png"]
        return json.loads(subprocess.run(call, check=True, capture_output=True).stdout)


def main():
    """Prints the seconds of the command and of its stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = range(parser.parse_args().runs)
    command()  # fills the cache
    print(f"{cpu_model()}, bfloat16 instructions: {has_bfloat16()}, AMX: {has_amx()}\n")
    print("| command, stage | seconds |")
    print("|---|---|")
    print(f"| `predict` | {statistics.median(command() for _ in runs):.2f} |")
    found = [stages() for _ in runs]
    for index, (stage, _) in enumerate(found[0]):
        print(f"| ... {stage} | {statistics.median(run[index][1] for run in found):.2f} |")
    keras = ("--runtime", "keras", "--precision", "float32")
    seconds = statistics.median(command(*keras) for _ in runs)
    print(f"| `predict {' '.join(keras)}` | {seconds:.2f} |")


if __name__ == "__main__":
    main()
