"""What computes a frozen network: TensorFlow, XLA, LiteRT or ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import tensorflow as tf

from detkit.errors import ConfigError
from detkit.export.frozen import Frozen, freeze

Run = Callable[[np.ndarray, np.ndarray], list[np.ndarray]]

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
TOLERANCE = 1e-3  # of the standard deviation of an output, or of 1 if that is less
# Operations without which no network is one of the small convolutional ones that LiteRT is written for, and those that
# neither LiteRT nor ONNX have.
_LIGHT = "DepthwiseConv2dNative"
_TENSORFLOW_ONLY = ("CropAndResize", "CombinedNonMaxSuppression", "NonMaxSuppressionV4", "While", "StatelessWhile")
_MOST = 8  # runs at a time: each holds the weights once more
_FEW = 50  # frames for which another runtime's conversion takes longer than it saves


@dataclass(frozen=True)
class Compiled:
    """A network ready to run.

    Attributes:
        runtime: its name.
        frozen: the network; of fixed batch size.
        workers: how many runs at a time do the most.
        open: number of threads -> a function of inputs float32 [B, h, w, 3] and true_shapes int32 [B, 3] that gives the
            outputs in the order of `frozen.outputs`, to be used before it is called again. One for each thread.
    """

    runtime: str
    frozen: Frozen
    workers: int
    open: Callable[[int], Run]


def compile(
    detector,
    runtime: str = "auto",
    batch_size: int | None = None,
    precision: str = "float32",
    frames: int | None = None,
) -> Compiled:
    """A detector's network for a runtime; another one than TensorFlow is compared with the plain network.

    Args:
        runtime: "tensorflow", "xla", "litert", "onnxruntime", or "auto" for the fastest that is installed (see
            `fastest`).
        batch_size: images that go through the network together; by default what suits the runtime.
        precision: "float32", or "mixed" for convolutions in 16 bits, with TensorFlow and XLA: a setting of TensorFlow's
            for all of the process, which moves scores by some hundredths.
        frames: how many images will come, if that is known.

    Raises:
        ConfigError: for a runtime that is not installed, can't run this network, or computes something else.
    """
    gpu, mixed = bool(tf.config.list_physical_devices("GPU")), precision == "mixed"
    _check(runtime, mixed)
    frozen = freeze(detector, batch_size or (16 if gpu else 1))
    if runtime == "auto":
        runtime = "tensorflow" if mixed or gpu else fastest(frozen, frames)
    compiled = Compiled(runtime, frozen, 2 if gpu else min(CORES, _MOST), _MAKERS[runtime](frozen))
    if mixed:
        kind = "auto_mixed_precision" if gpu else "auto_mixed_precision_onednn_bfloat16"
        tf.config.optimizer.set_experimental_options({kind: True})
    elif runtime != "tensorflow":  # which computes the same operations as the plain network
        verify(compiled, detector)
    return compiled


def fastest(frozen: Frozen, frames: int | None = None) -> str:
    """The runtime that is the fastest for a network on a CPU, of those installed.

    A rule made from measurements (`benchmarks/runtimes.py`), not a measurement itself, so that the same job always has
    the same results: LiteRT for networks of depthwise convolutions, TensorFlow for all others and for a few frames.
    """
    operations = {op.type for op in frozen.function.graph.get_operations()}
    suits = _LIGHT in operations and not operations.intersection(_TENSORFLOW_ONLY)
    many = frames is None or frames >= _FEW
    return "litert" if suits and many else "tensorflow"


def installed() -> tuple[str, ...]:
    """The runtimes that can be used here."""
    return ("tensorflow", "xla", "litert", *["onnxruntime"] * bool(find_spec("onnxruntime")))


def verify(compiled: Compiled, detector) -> None:
    """ConfigError unless the outputs for a picture of noise are those of the plain network."""
    frozen = compiled.frozen
    noise = np.random.default_rng(0).integers(0, 256, (*frozen.size, 3), np.uint8)
    inputs, true_shapes = detector.preprocess([noise])
    batch = frozen.batch_size
    with detector.as_at_inference():
        expected = detector.predict(inputs, true_shapes)
    got = compiled.open(CORES)(np.repeat(inputs, batch, axis=0), np.repeat(true_shapes, batch, axis=0))
    for name, value in zip(frozen.outputs, got, strict=True):
        reference = np.asarray(expected[name], np.float64)[0]
        difference = np.abs(reference - np.asarray(value)[0]).max(initial=0.0)
        if not difference <= TOLERANCE * max(1.0, reference.std()):
            raise ConfigError(
                f"The network computes something else with {compiled.runtime} than with TensorFlow.",
                got=f"{name} differs by {difference:.3g}",
                expected=f"at most {TOLERANCE}",
                fix="Use --runtime tensorflow.",
            )


def _check(runtime: str, mixed: bool) -> None:
    if runtime not in ("auto", *installed()):
        raise ConfigError("This runtime is not installed.", got=runtime, fix="pip install 'detkit[onnx]'")
    if mixed and runtime not in ("auto", "tensorflow", "xla"):
        raise ConfigError(
            "This runtime computes in float32 only.",
            got=f"{runtime} with precision mixed",
            fix="Use --runtime tensorflow with --precision mixed, or --precision float32.",
        )


def _tensorflow(frozen: Frozen) -> Callable[[int], Run]:
    function = frozen.function

    def run(inputs, true_shapes):
        given = {"inputs": inputs, "true_shapes": true_shapes}
        return [x.numpy() for x in function(*(tf.constant(given[name]) for name in frozen.inputs))]

    return lambda threads: run


def _xla(frozen: Frozen) -> Callable[[int], Run]:
    compiled = tf.function(lambda *inputs: frozen.function(*inputs), autograph=False, jit_compile=True)

    def run(inputs, true_shapes):
        given = {"inputs": inputs, "true_shapes": true_shapes}
        return [x.numpy() for x in compiled(*(tf.constant(given[name]) for name in frozen.inputs))]

    return lambda threads: run


def _litert(frozen: Frozen) -> Callable[[int], Run]:
    from detkit.export.tflite import network_to_tflite
    from detkit.hub.tflite import interpreter as open_model

    content = network_to_tflite(frozen)

    def open_interpreter(threads: int) -> Run:
        interpreter = open_model(content, threads)
        (given,) = interpreter.get_input_details()
        # The converter keeps the order of the outputs.
        places = [detail["index"] for detail in interpreter.get_output_details()]

        def run(inputs, true_shapes):
            interpreter.set_tensor(given["index"], inputs)
            interpreter.invoke()
            return [interpreter.get_tensor(place) for place in places]

        return run

    return open_interpreter


def _onnxruntime(frozen: Frozen) -> Callable[[int], Run]:
    import onnxruntime

    from detkit.export.onnx import network_to_onnx

    content = network_to_onnx(frozen)

    def open_session(threads: int) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

        def run(inputs, true_shapes):
            given = {"inputs": inputs, "true_shapes": true_shapes}
            return session.run(list(frozen.outputs), {name: given[name] for name in frozen.inputs})

        return run

    return open_session


_MAKERS = {"tensorflow": _tensorflow, "xla": _xla, "litert": _litert, "onnxruntime": _onnxruntime}
