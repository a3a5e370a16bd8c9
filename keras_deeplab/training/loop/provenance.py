"""Provenance of a training run: machine, source code and data."""

import concurrent.futures
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess
from collections.abc import Iterable
from typing import Any

from keras_deeplab import __version__
from keras_deeplab._internal import resources
from keras_deeplab._internal.files import file_sha256
from keras_deeplab._internal.processor import cpu_model

# Full names, not prefixes: other variables that begin with TF_ or NVIDIA_ may contain secrets.
VARIABLES = (  # that change the results of a training
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "KERAS_BACKEND",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "TF_CUDNN_DETERMINISTIC",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_AUTO_MIXED_PRECISION",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
)


def environment() -> dict[str, Any]:
    """Versions, CPU, memory and settings of this process.

    Returns:
        JSON-serialisable dict: `python`, `platform`, `cpu` (model), `cpu_count` (of the machine),
        `memory` (bytes), `packages` (versions by name), `backend` of Keras, `devices` (names),
        `threads` (of TensorFlow, 0 when it chooses), `tensor_float_32` (whether GPUs may round to
        it), `variables` (those of `VARIABLES` that are set). Unknown values are `None`.
    """
    import keras
    import tensorflow as tf

    threading = tf.config.threading
    packages = {name: importlib.metadata.version(name) for name in ("keras", "tensorflow", "numpy")}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cpu_count": os.cpu_count(),
        "memory": _memory(),
        "packages": {"keras_deeplab": __version__, **packages},
        "backend": keras.backend.backend(),
        "devices": [_device_name(device) for device in tf.config.list_physical_devices()],
        "threads": {
            "inter_op": threading.get_inter_op_parallelism_threads(),
            "intra_op": threading.get_intra_op_parallelism_threads(),
        },
        "tensor_float_32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def _device_name(device: Any) -> str:
    import tensorflow as tf

    return tf.config.experimental.get_device_details(device).get("device_name", device.device_type)


def git_revision() -> dict[str, Any] | None:
    """The Git commit that this package runs from.

    Returns:
        Dict with `revision`, the SHA of the commit, and `changed`, whether package, commands or zoo
        differ from it; `None` for an installed package, without Git, or before the first commit.
    """
    package = resources.PACKAGE
    try:
        # Fails when the package is only located inside another repository.
        _git("ls-files", "--error-unmatch", "--", package / "__init__.py")
        revision = _git("rev-parse", "--verify", "HEAD")
        source = (package, resources.scripts_dir(), resources.zoo_dir())
        return {"revision": revision, "changed": bool(_git("status", "--porcelain", "--", *source))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str | os.PathLike[str]) -> str:
    # In a Git hook, these variables point to the repository of the hook.
    variables = {name: os.environ[name] for name in os.environ if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", resources.PACKAGE, *arguments]
    return subprocess.run(
        command, env=variables, check=True, capture_output=True, text=True
    ).stdout.strip()


def data_record(files: Iterable[str | os.PathLike[str]]) -> dict[str, Any]:
    """Number, size and hash of the files of a dataset; shows a progress bar after 2 seconds.

    Args:
        files: Their paths, at least one.

    Returns:
        Dict with `files` (their number), `bytes` (in total) and `sha256`: the hash of the output of
        `sha256sum` for all files, sorted by name. Names are relative to their common folder, so
        the hash does not depend on its location.

    Raises:
        OSError: When a file cannot be read.
    """
    import tqdm

    paths = {os.path.abspath(path) for path in files}
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    named = dict(sorted((pathlib.Path(path).relative_to(root).as_posix(), path) for path in paths))
    with concurrent.futures.ThreadPoolExecutor() as pool:  # hashlib releases the GIL
        hashes = tqdm.tqdm(
            pool.map(file_sha256, named.values()),
            desc="hashing the data",
            total=len(named),
            unit="file",
            delay=2,
            leave=False,
        )
        lines = [f"{digest}  {name}\n" for name, digest in zip(named, hashes, strict=True)]
    return {
        "files": len(named),
        "bytes": sum(os.path.getsize(path) for path in paths),
        "sha256": hashlib.sha256(os.fsencode("".join(lines))).hexdigest(),
    }
