"""EfficientDet: the facts about its backbone, its neck and its penalties that are easy to get wrong."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import reference_weights
import tensorflow as tf
from model_configs import config
from reference_model import usual_gains

from detkit.detection.backbones.efficientnet import efficientnet
from detkit.detection.build import build
from detkit.errors import ConfigError

SMALL = {
    "image_resizer.keep_aspect_ratio_resizer.min_dimension": 128,
    "image_resizer.keep_aspect_ratio_resizer.max_dimension": 128,
    "num_classes": 3,
    "feature_extractor.bifpn.num_iterations": 2,
    "feature_extractor.bifpn.num_filters": 16,
    "box_predictor.weight_shared_convolutional_box_predictor.depth": 16,
    "box_predictor.weight_shared_convolutional_box_predictor.num_layers_before_predictor": 1,
}
EXTRACTOR = "_feature_extractor"
BIFPN = f"{EXTRACTOR}/_bifpn_stage"


def small(name="efficientdet_d0", **changes):
    """A narrow version with drawn weights."""
    detector = build(config(name, **SMALL | changes))
    reference_weights.assign(detector, usual_gains(name))
    return detector


@pytest.fixture(scope="module")
def detector():
    return small()


@pytest.fixture(scope="module")
def larger():
    """D1: the smallest whose stacks do not end where the levels are tapped."""
    return small("efficientdet_d1")


# Backbone


def keras_efficientnet(version):
    """Keras's own EfficientNet from the normalised picture to levels 3, 4 and 5, with drawn weights."""
    model = getattr(keras.applications, f"EfficientNetB{version}")(weights=None, include_top=False)
    reads = [f"block{name}" for name in ("3b_add", "5c_add", "7a_project_bn")]
    model = keras.Model(model.get_layer("stem_conv_pad").input, [model.get_layer(name).output for name in reads])
    rng = np.random.default_rng(version)
    for layer in model.layers:
        for weight in layer.weights:
            value = rng.standard_normal(weight.shape) / np.sqrt(np.prod(weight.shape[:-2]) * weight.shape[-1])
            weight.assign(np.abs(value) + 0.8 if weight.name in ("gamma", "moving_variance") else value)
    return model


@pytest.mark.parametrize("version", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4))])
def test_the_backbone_is_that_of_keras(version):
    reference, blocks = keras_efficientnet(version), efficientnet(version)
    ours = [layer for block in blocks for layer in block.layers]
    for layer, theirs in zip(ours, (layer for layer in reference.layers if layer.weights), strict=False):
        for weight in theirs.weights:
            name = "depthwise_kernel" if isinstance(theirs, keras.layers.DepthwiseConv2D) else weight.name
            getattr(layer, name).assign(weight)
    x, maps = tf.constant(np.random.default_rng(0).standard_normal((2, 64, 96, 3)), tf.float32), {}
    expected = reference(x, training=False)
    for block in blocks[: [block.name for block in blocks].index("stack_6/block_0") + 1]:
        x = maps[block.name] = block.run(x)
    for name, theirs in zip(("stack_2/block_1", "stack_4/block_2", "stack_6/block_0"), expected, strict=True):
        assert np.abs(maps[name] - theirs).max() <= 1e-4 * np.std(theirs)


def test_levels_are_tapped_inside_the_stacks(larger):
    backbone = larger.backbone
    assert {level: block.name for level, block in backbone.taps.items()} == {
        3: "stack_2/block_1", 4: "stack_4/block_2", 5: "stack_6/block_0"
    }  # fmt: skip
    names = [block.name for block in backbone.blocks]
    assert {"stack_2/block_2", "stack_4/block_3"} < set(names)
    assert names[-1] == "stack_6/block_0"
    assert [block.name for block in backbone.unused] == ["stack_6/block_1", "top", "logits"]


def test_what_nothing_runs_is_part_of_the_backbone_and_no_stage(larger):
    unused = {id(layer) for block in larger.backbone.unused for layer in block.layers}
    paths = [path for path, layer in larger.paths().items() if id(layer) in unused]
    assert paths == [f"{EXTRACTOR}/classification_backbone/layer_with_weights-{n}" for n in range(174, 185)]
    assert {larger.part_of()[path] for path in larger.variables() if path.rsplit("/", 1)[0] in paths} == {"backbone"}
    assert unused.isdisjoint(id(layer) for stage in larger.stages for layer in stage.layers)
    assert unused < {id(layer) for layer in larger.parts["backbone"]}


def test_what_runs_is_filed_under_both_names_of_the_backbone(larger):
    """Under the shorter-lived one only what runs, so that a checkpoint of the whole classifier can be restored."""
    files = {path for path in larger.nodes if "layer_with_weights" in path}
    assert len([path for path in files if "/_efficientnet/" in path]) == 174
    assert len([path for path in files if "/classification_backbone/" in path]) == 185
    for path in files:
        whole = path.replace("/_efficientnet/", "/classification_backbone/")
        assert larger.nodes[path] is larger.nodes[whole]


def test_batch_norms_have_their_own_settings(detector):
    norms = {id(layer): layer for layer in detector.nodes.values() if hasattr(layer, "momentum")}
    assert {(layer.epsilon, layer.momentum) for layer in norms.values()} == {(1e-3, 0.99)}


def test_fresh_kernels_keep_the_variance_of_gradients(detector):
    """The fan is that of the outputs; a depthwise kernel has one channel of them for every input."""
    layers, rng = detector.backbone.blocks[-1].layers, np.random.default_rng(0)
    for layer, name, fan in ((layers[0], "kernel", 1152), (layers[2], "depthwise_kernel", 9)):
        assert layer.initial(name, rng).std() == pytest.approx(np.sqrt(2 / fan), rel=0.05)


# Neck


def value(detector, path):
    return detector.variables()[f"{BIFPN}/{path}"].numpy()


def normalized(detector, x, path):
    """A batch norm with its moving statistics."""
    mean, variance = value(detector, f"{path}/moving_mean"), value(detector, f"{path}/moving_variance")
    scale = value(detector, f"{path}/gamma") / np.sqrt(variance + 1e-3)
    return (x - mean) * scale + value(detector, f"{path}/beta")


def lateral(detector, x, number, position):
    path = f"node_input_blocks/{number}/{position}/1"
    convolved = np.asarray(x) @ value(detector, f"{path}/0/kernel")[0, 0] + value(detector, f"{path}/0/bias")
    return normalized(detector, convolved, f"{path}/1")


def combined(detector, number, *maps, weighted=True):
    """A node: the weighted sum, swish, a separable convolution, a batch norm."""
    weights = np.ones(len(maps))
    if weighted:
        weights = np.maximum(value(detector, f"node_combine_op/{number}/bifpn_combine_weights")[:, 0], 0)
        weights = weights / (weights.sum() + 1e-4)
    x = sum(weight * np.asarray(each) for weight, each in zip(weights, maps, strict=True))
    path = f"node_post_combine_block/{number}"
    depthwise, pointwise = (value(detector, f"{path}/1/{name}_kernel") for name in ("depthwise", "pointwise"))
    swish = (x / (1 + np.exp(-x))).astype(np.float32)
    y = tf.nn.separable_conv2d(swish, depthwise, pointwise, [1, 1, 1, 1], "SAME").numpy()
    return normalized(detector, y + value(detector, f"{path}/1/bias"), f"{path}/2")


def down(x):
    return keras.layers.MaxPooling2D(3, 2, "same")(x).numpy()


def up(x):
    return np.asarray(x).repeat(2, axis=1).repeat(2, axis=2)


def one_iteration(detector, maps, weighted=True):
    """The first iteration written out node by node: nodes 0 and 1 make levels 6 and 7."""

    def node(number, *inputs):
        return combined(detector, number, *inputs, weighted=weighted)

    six = down(lateral(detector, maps[5], 0, 0))
    seven = down(six)
    down6 = node(2, six, up(seven))
    down5 = node(3, lateral(detector, maps[5], 3, 0), up(down6))
    down4 = node(4, lateral(detector, maps[4], 4, 0), up(down5))
    down3 = node(5, lateral(detector, maps[3], 5, 0), up(down4))
    up4 = node(6, lateral(detector, maps[4], 6, 0), down4, down(down3))
    up5 = node(7, lateral(detector, maps[5], 7, 0), down5, down(up4))
    up6 = node(8, six, down6, down(up5))
    return [down3, up4, up5, up6, node(9, seven, down(up6))]


def second_iteration(detector, levels):
    """From here on every map has the neck's depth; the finest level goes down only."""
    three, four, five, six, seven = levels
    down6 = combined(detector, 10, six, up(seven))
    down5 = combined(detector, 11, five, up(down6))
    down4 = combined(detector, 12, four, up(down5))
    down3 = combined(detector, 13, three, up(down4))
    up4 = combined(detector, 14, four, down4, down(down3))
    up5 = combined(detector, 15, five, down5, down(up4))
    up6 = combined(detector, 16, six, down6, down(up5))
    return [down3, up4, up5, up6, combined(detector, 17, seven, down(up6))]


def backbone_maps(detector, sizes=(16, 8, 4)):
    rng, channels = np.random.default_rng(3), detector.backbone.channels
    return {
        level: tf.constant(rng.standard_normal((2, side, side, channels[level])), tf.float32)
        for level, side in zip((3, 4, 5), sizes, strict=True)
    }


def test_the_neck_is_what_its_description_says(detector):
    maps = backbone_maps(detector)
    expected = second_iteration(detector, one_iteration(detector, maps))
    found = detector.neck(maps)
    assert list(found) == [3, 4, 5, 6, 7]
    for ours, theirs in zip(found.values(), expected, strict=True):
        assert np.abs(ours - theirs).max() <= 1e-4 * np.std(theirs)


def test_a_plain_sum_has_no_weights():
    detector = small(**{"feature_extractor.bifpn.combine_method": "sum", "feature_extractor.bifpn.num_iterations": 1})
    assert not any("bifpn_combine_weights" in path for path in detector.variables())
    maps = backbone_maps(detector)
    expected = one_iteration(detector, maps, weighted=False)
    for ours, theirs in zip(detector.neck(maps).values(), expected, strict=True):
        assert np.abs(ours - theirs).max() <= 1e-4 * np.std(theirs)


def test_negative_weights_of_a_sum_count_as_nothing(detector):
    combine = next(node.combine for node in detector.neck.layout if node.combine is not None)
    before = combine.bifpn_combine_weights.numpy()
    combine.bifpn_combine_weights.assign([[3.0], [-2.0]])
    one, other = tf.ones([1, 2, 2, 1]), tf.fill([1, 2, 2, 1], 7.0)
    assert np.asarray(combine([one, other])) == pytest.approx(3 / (3 + 1e-4))
    combine.bifpn_combine_weights.assign(before)


def test_the_weights_of_a_sum_start_equal(detector):
    path = f"{BIFPN}/node_combine_op/2/bifpn_combine_weights"
    layer = detector.paths()[path.rsplit("/", 1)[0]]
    assert layer.initial("bifpn_combine_weights", np.random.default_rng(0)).tolist() == [[1.0], [1.0]]
    assert detector.part_of()[path] == "neck"


# Head, penalties, pictures


def test_no_column_for_the_background(detector):
    assert detector.columns == 3
    assert {columns.background for columns in detector.class_columns().values()} == {0}


def factor(path: str) -> float:
    """The L2 factor of a variable."""
    name = path.rsplit("/", 1)[1]
    if "/_bifpn_stage/" in path:
        return 2e-5 if name in ("kernel", "depthwise_kernel", "pointwise_kernel") else 0.0
    if "_head_scope_conv_layers" in path:
        return 2e-5 if name == "depthwise_kernel" else 0.0
    if path.startswith("_box_predictor"):
        return 0.0
    return 5e-6 if name in ("kernel", "bias") else 0.0


def test_penalties(larger):
    variables = larger.variables()
    penalized = {path: (factor(path), variables[path].numpy()) for path in variables if factor(path)}
    assert sum(getattr(layer, "l2_count", 0) for layer in larger.paths().values()) == len(penalized)
    expected = sum(each * np.square(array, dtype=np.float64).sum() for each, array in penalized.values())
    assert float(larger.regularization_loss()) == pytest.approx(expected, rel=1e-5)


def test_the_config_may_override_the_penalty_of_the_backbone():
    changes = {"feature_extractor.override_base_feature_extractor_hyperparams": True}
    backbone = build(config("efficientdet_d0", **SMALL | changes)).backbone
    assert {layer.hyper.l2 for layer in backbone.layers if getattr(layer, "l2_count", 0)} == {2e-5}


def test_pixels_are_normalised_and_the_padding_is_not(detector):
    inputs, true_shapes = detector.preprocess([np.full((20, 40, 3), 255, np.uint8)])
    assert true_shapes.numpy().tolist() == [[64, 128, 3]]
    assert np.unique(inputs[0, 64:]).tolist() == [0.0]
    assert inputs[0, 0, 0].numpy() == pytest.approx([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])


@pytest.mark.parametrize("size", [(96, 160), (33, 130), (7, 5)])
def test_inputs_of_any_size(detector, size):
    """Levels of odd sizes are doubled and cut; anchors start at 0 where a stride does not divide the picture."""
    inputs = tf.constant(np.random.default_rng(1).standard_normal((2, *size, 3)), tf.float32)
    raw = detector.predict(inputs, tf.constant([[*size, 3]] * 2))
    count = 9 * sum(-(-size[0] // 2**level) * -(-size[1] // 2**level) for level in range(3, 8))
    assert raw["class_logits"].shape == (2, count, 3) and raw["box_encodings"].shape == (2, count, 4)
    assert np.isfinite(raw["class_logits"]).all() and np.std(raw["class_logits"]) > 0
    anchors = raw["anchors"].numpy() * np.tile(size, 2)
    centre = (anchors[-9, :2] + anchors[-9, 2:]) / 2
    starts = [64 if side % 128 == 0 else 0 for side in size]
    assert centre == pytest.approx([(side - 1) // 128 * 128 + start for side, start in zip(size, starts, strict=True)])


# Configs


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("feature_extractor.bifpn.combine_method", "attention", "fast_attention or sum"),
        ("feature_extractor.bifpn.max_level", 5, "6 or 7"),
        ("feature_extractor.depth_multiplier", 0.5, "1.0"),
        ("feature_extractor.use_depthwise", True, "False"),
        ("feature_extractor.pad_to_multiple", 32, "1"),
        ("anchor_generator.multiscale_anchor_generator.max_level", 6, "7"),
        ("post_processing.logit_scale", 2.0, "1.0"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(field, value, expected):
    with pytest.raises(ConfigError) as error:
        build(config("efficientdet_d0", **SMALL | {field: value}))
    assert f"model.ssd.{field}" in str(error.value)
    assert f"got: {value}" in str(error.value) and f"expected: {expected}" in str(error.value)


def test_a_bifpn_is_needed():
    with pytest.raises(ConfigError, match="model.ssd.feature_extractor.bifpn"):
        build(config("efficientdet_d0", **{"feature_extractor.bifpn": None}))
