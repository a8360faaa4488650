"""SavedModels that turn images into features: TF-Hub's feature vectors, of TensorFlow 1 and 2, and others like them.

Source: "Common Signatures for Images" of TensorFlow Hub.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from detkit.errors import ConfigError
from detkit.hub import od_outputs, reading, source
from detkit.hub.signature import lines, specs
from detkit.pipeline.fields import nearest

_OBJECTS = {od_outputs.BOXES, od_outputs.SCORES}  # a detector's outputs
CALL = "__call__"  # the SavedModel itself as a function
FIRST = ("image_feature_vector", "default", CALL, "serving_default")
_RANKS = (2, 4, None)  # of features: vectors, maps, and what does not say
MAIN = ("default", "feature_vector", "")  # which of several outputs is meant
_FIX = "Use a feature vector, or set model.signature to SIGNATURE or SIGNATURE/OUTPUT."


@dataclass(frozen=True)
class Way:
    """A function of a SavedModel that takes an image and nothing else.

    Attributes:
        key: of the signature, or CALL.
        input: the name of the image; spec: its shape and type.
        outputs: {name: TensorSpec}, those of numbers; the only one of CALL has the name "".
        run: images as the input asks for them -> {name: tensor}.
    """

    key: str
    input: str
    spec: tf.TensorSpec
    outputs: Mapping[str, tf.TensorSpec]
    run: Callable


class Features:
    """Images float32 [B, h, w, 3] of 0..255 -> features float32 [B, D] or [B, h', w', C], by a SavedModel.

    Attributes:
        directory: that holds it.
        way, output: how and what it is asked.
        size: (height, width) of the images; shape: of the features of an image.
    """

    def __init__(self, loaded, directory: Path, way: Way, output: str, size: tuple[int, int]):
        self.directory, self.way, self.output, self.size = directory, way, output, size
        self._loaded = loaded  # owns what the function needs
        self.shape = self._shape()

    def __call__(self, images):
        kind = self.way.spec.dtype
        # Floats are of 0..1 in modules of images, integers of 0..255.
        images = tf.cast(images / 255.0 if kind.is_floating else tf.round(images), kind)
        if self.way.spec.shape.rank and self.way.spec.shape[0] == 1:
            one = tf.TensorSpec(self.shape, self.way.outputs[self.output].dtype)
            found = tf.map_fn(lambda image: self._run(image[None])[0], images, fn_output_signature=one)
        else:
            found = self._run(images)
        return tf.ensure_shape(tf.cast(found, tf.float32), [None, *self.shape])

    def _run(self, images):
        return self.way.run(images)[self.output]

    def _shape(self) -> tuple[int, ...]:
        try:
            found = self._run(tf.zeros([1, *self.size, 3], self.way.spec.dtype))
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise ConfigError(
                "The SavedModel does not take images of this size.",
                where=f"model.size, for {self.directory}",
                got=f"{self.size[0]} x {self.size[1]}: {str(error).strip().splitlines()[0][:200]}",
                fix="Set model.size to the size that it was made for.",
            ) from None
        shape = tuple(found.shape)
        if len(shape) not in (2, 4) or shape[0] != 1:
            raise ConfigError(
                "This output of the SavedModel holds no features of images.",
                where=self.directory,
                got=f"{_place(self.way.key, self.output)}: {list(shape)} for one image",
                expected="[1, D], or [1, height, width, C]",
                fix=_FIX,
            )
        return shape[1:]

    def text(self) -> str:
        """What it takes and gives."""
        place, spec = _place(self.way.key, self.output), self.way.spec
        return f"{place}: {spec.dtype.name} {spec.shape} -> {list(self.shape)}"


def load(model, signature: str | None = None, size: tuple[int, int] | None = None) -> Features:
    """The features of a SavedModel.

    Args:
        model: as for `detkit.hub.source.find`.
        signature: SIGNATURE or SIGNATURE/OUTPUT; None to look for it.
        size: (height, width) of the images, where the SavedModel does not say.

    Raises:
        CheckpointError, DownloadError: if it can't be had or read.
        ConfigError: if it gives no features, is a detector, or takes another size.
    """
    directory = source.find(model)
    loaded = reading.read(directory)
    ways = _ways(loaded)
    if signature is None:
        _reject_detector(loaded, model)
        way, output = _found(ways, loaded, directory)
    else:
        way, output = _named(signature, ways, loaded, directory)
    return Features(loaded, directory, way, output, _size(way, size, directory))


def describe(directory: Path, loaded) -> str | None:
    """What `detkit inspect` says of a SavedModel that has features, None for another."""
    ways = _ways(loaded)
    found, places = _certain(ways), _places(ways)
    if not places or _is_detector(loaded):
        return None
    more = "" if found else f" and model.signature={places[0]}, or another of them"
    text = f"features: {_place(found[0].key, found[1]) if found else ', '.join(places)}"
    use = f"Use it as a backbone: model.name=hub:{directory}{more}"
    return "\n".join([f"SavedModel {directory}", *_listing(loaded), text, use])


def _ways(loaded) -> dict[str, Way]:
    """What takes an image and gives numbers, the likeliest first."""
    found = {key: way for key, function in loaded.signatures.items() if (way := _of_signature(key, function))}
    found |= {CALL: way} if (way := _of_call(loaded)) else {}
    order = sorted(found, key=lambda key: (FIRST.index(key) if key in FIRST else len(FIRST), key))
    return {key: found[key] for key in order}


def _of_signature(key: str, function) -> Way | None:
    inputs, outputs = specs(function)
    if len(inputs) != 1:
        return None
    ((name, spec),) = inputs.items()
    return _way(key, name, spec, outputs, lambda images: function(**{name: images}))


def _of_call(loaded) -> Way | None:
    """The object called with an image, and its other arguments as they are for prediction."""
    function = getattr(loaded, CALL, None)
    for concrete in getattr(function, "concrete_functions", ()):
        arguments, keywords = concrete.structured_input_signature
        leaves = tf.nest.flatten([arguments, keywords])
        tensors = [leaf for leaf in leaves if isinstance(leaf, tf.TensorSpec)]
        training = any(leaf is True for leaf in leaves)
        if len(tensors) == 1 and not training and arguments and arguments[0] is tensors[0]:
            outputs, rest = _by_name(concrete.structured_outputs), arguments[1:]

            def run(images, rest=rest, keywords=keywords):
                return _by_name(function(images, *rest, **keywords))

            way = _way(CALL, tensors[0].name or "image", tensors[0], outputs, run)
            if way is not None:
                return way
    return None


def _way(key: str, name: str, spec: tf.TensorSpec, outputs: Mapping, run: Callable) -> Way | None:
    numbers = {output: each for output, each in outputs.items() if each.dtype.is_floating}
    kinds = spec.dtype.is_floating or spec.dtype in (tf.uint8, tf.int32, tf.int64)
    # An unknown rank is the maker's omission: images are tried.
    image = spec.shape.rank is None or (
        spec.shape.rank == 4 and spec.shape[3] in (3, None) and spec.shape[0] in (1, None)
    )
    return Way(key, name, spec, numbers, run) if kinds and image and numbers else None


def _by_name(outputs) -> dict:
    """{name: tensor or its spec}, of a mapping or a tensor alone."""
    if isinstance(outputs, Mapping):
        return {name: value for name, value in outputs.items() if hasattr(value, "dtype")}
    return {"": outputs} if hasattr(outputs, "dtype") else {}


def _found(ways: dict[str, Way], loaded, directory) -> tuple[Way, str]:
    """The first way that has one vector of features, and the name of it."""
    found, places = _certain(ways), _places(ways)
    if found is not None:
        return found
    raise ConfigError(
        "Which output of this SavedModel holds features of images can't be told."
        if places
        else "This SavedModel turns no images into features.",
        where=directory,
        got="\n".join(["", *(f"    {line}" for line in _listing(loaded))]),
        expected=f"one of {', '.join(places)}" if places else "an image [B, height, width, 3] in, [B, D] out",
        fix=_FIX,
    )


def _certain(ways: dict[str, Way]) -> tuple[Way, str] | None:
    found = ((way, _main(way.outputs)) for way in ways.values())
    return next(((way, output) for way, output in found if output is not None), None)


def _places(ways: dict[str, Way]) -> list[str]:
    """What may hold features, as `model.signature` names it."""
    outputs = ((way.key, name, spec) for way in ways.values() for name, spec in sorted(way.outputs.items()))
    return [_place(key, name) for key, name, spec in outputs if spec.shape.rank in _RANKS]


def _main(outputs: Mapping) -> str | None:
    """The output that is meant: the only one, that of the usual name, or the only vector."""
    usual = [name for name in MAIN if name in outputs]
    vectors = [name for name, spec in outputs.items() if spec.shape.rank == 2]
    certain = usual or (list(outputs) if len(outputs) == 1 else vectors if len(vectors) == 1 else [])
    return next((name for name in certain if outputs[name].shape.rank in _RANKS), None)


def _named(signature: str, ways: dict[str, Way], loaded, directory) -> tuple[Way, str]:
    """The way and the output that an option names."""
    key = max((key for key in ways if signature == key or signature.startswith(f"{key}/")), key=len, default=None)
    way = ways.get(key)
    output = signature[len(key) + 1 :] or _main(way.outputs) if way else None
    if way is not None and output in way.outputs:
        return way, output
    places = _places(ways)
    raise ConfigError(
        "The SavedModel has no such signature for images.",
        where=f"model.signature, for {directory}",
        got="\n".join([signature, *(f"    {line}" for line in _listing(loaded))]),
        expected=f"one of {', '.join(places)}" if places else "an image [B, height, width, 3] in, [B, D] out",
        fix=nearest(signature, [*(key for key in ways if _main(ways[key].outputs) is not None), *places]) or _FIX,
    )


def _place(key: str, output: str) -> str:
    return f"{key}/{output}" if output else key


def _size(way: Way, size: tuple[int, int] | None, directory) -> tuple[int, int]:
    """The (height, width) that the SavedModel fixes, or else the one that is asked for."""
    own = tuple(way.spec.shape[1:3]) if way.spec.shape.rank else (None, None)
    if size is None and None in own:
        raise ConfigError(
            "The SavedModel takes images of any size.",
            where=f"model.size, for {directory}",
            got="null",
            expected="a whole number, or [height, width]",
            fix="Set model.size to the size that it was made for, such as 224.",
        )
    if size is not None and any(side not in (None, asked) for side, asked in zip(own, size, strict=True)):
        raise ConfigError(
            "The SavedModel takes images of another size.",
            where=f"model.size, for {directory}",
            got=f"{size[0]} x {size[1]}",
            expected=" x ".join("any" if side is None else str(side) for side in own),
            fix="Leave out model.size: images are resized.",
        )
    return tuple(side or asked for side, asked in zip(own, size or own, strict=True))


def _is_detector(loaded) -> bool:
    return any(_OBJECTS <= set(specs(function)[1]) for function in loaded.signatures.values())


def _reject_detector(loaded, model) -> None:
    if _is_detector(loaded):
        raise ConfigError(
            "This SavedModel is a detector, and gives no features.",
            where=model,
            got=", ".join(sorted(_OBJECTS)),
            expected="an image [B, height, width, 3] in, [B, D] out",
            fix=f'Load it as what it is: detkit.load("{model}"), or `detkit predict {model} photo.jpg`.',
        )


def _listing(loaded) -> list[str]:
    """Everything that can be called, a line for each input and output."""
    signatures = sorted(loaded.signatures.items())
    listed = [line for key, function in signatures for line in (f"signature {key}", *lines(function))]
    for concrete in getattr(getattr(loaded, CALL, None), "concrete_functions", ()):
        takes = tf.nest.flatten(concrete.structured_input_signature)
        gives = tf.nest.flatten(concrete.structured_outputs)
        listed.append(f"{CALL}({', '.join(map(_short, takes))}) -> {', '.join(map(_short, gives))}")
    return listed or ["nothing that can be called"]


def _short(value) -> str:
    return f"{value.dtype.name} {value.shape}" if hasattr(value, "dtype") else repr(value)
