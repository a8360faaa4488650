"""The CenterNet family: objects as the peaks of a heat map, their sizes and keypoints read off beside them.

Source: Zhou et al., "Objects as points", 2019; `center_net_meta_arch` of the OD API.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detkit.detection import center_decoding as decoding
from detkit.detection import pose as poses
from detkit.detection.center_extractors import divisor, extractor, normalize
from detkit.detection.center_losses import CENTER, OFFSET, SCALE, STRIDE, CenterLosses, center_cells, regression_cells
from detkit.detection.center_targets import objects
from detkit.detection.detector import ClassColumns, Detector, Found
from detkit.detection.heads.points import PointHeads
from detkit.errors import ConfigError
from detkit.networks.network import TRUTH, Stage, truth_of


class CenterNet(Detector):
    """A CenterNet built from its typed pipeline config; its variables are not initialised yet.

    Attributes:
        keypoint_names: of the keypoints that it finds, () if it finds none.
    """

    normalizes_padding = True
    loss_only = ("map/",)

    def __init__(self, config, classes, label_ids=None, name="center_net"):
        super().__init__(config, classes, label_ids, name)
        _reject_unsupported(config)
        self.pose = poses.of_detector(config, self.classes, self.label_ids)
        self.wants, self.keypoint_names = (("keypoints",), self.pose.names) if self.pose else ((), ())
        self._check_size(divisor(self.meta.feature_extractor.type))
        self.extractor = extractor(config)
        self.head = PointHeads(self.extractor.filters, self._values(), self.extractor.stacks, self.meta.use_depthwise)
        self.parts = self._parts()
        self.stages = [*self.extractor.stages, *self._head_stages()]
        self.nodes = self.extractor.nodes | self.head.nodes()

    def _values(self) -> dict:
        """{output: (values per cell, initial bias)}."""
        bias = self.meta.object_center_params.heatmap_bias_init
        values = {CENTER: (len(self.classes), bias), SCALE: (2, 0.0), OFFSET: (2, 0.0)}
        return values | (self.pose.outputs if self.pose else {})

    def _check_size(self, unit: int) -> None:
        if self.input_size is None or any(side % unit for side in self.input_size):
            raise ConfigError(
                "CenterNet's input has a fixed size whose sides its backbone can halve.",
                where=self.config.where("model.center_net.image_resizer"),
                got="a size that follows the images" if self.input_size is None else "{} x {}".format(*self.input_size),
                expected=f"pad_to_max_dimension: true, and sides that are multiples of {unit}",
            )

    def _parts(self) -> dict:
        parts = {"backbone": self.extractor.backbone, "neck": self.extractor.neck}
        parts["head/towers"] = list(self.head.towers.values())
        parts["head/box_head"] = self.head.final_layers(SCALE, OFFSET)
        parts["head/class_head"] = self.head.final_layers(CENTER)
        if self.pose:
            parts["head/keypoint_head"] = self.head.final_layers(*self.pose.outputs)
        return parts

    def _head_stages(self) -> list[Stage]:
        return [
            Stage("head/towers", tuple(self.head.towers.values()), self._run_towers),
            Stage("head/final", tuple(self.head.finals.values()), self._run_finals),
        ]

    def _run_towers(self, state):
        """Only the loss reads other stacks than the last; it can make their outputs from the maps that stay."""
        training = any(name.startswith(TRUTH) for name in state)
        last, out = self.extractor.stacks - 1, {}
        for stack in range(last + 1):
            x = state[f"map/{stack}"]
            if training or stack == last:
                out |= {f"tower/{name}/{stack}": tower for name, tower in self.head.run_towers(x, stack).items()}
            else:
                out[f"map/{stack}"] = x
        return out

    def _run_finals(self, state):
        out = {name: x for name, x in state.items() if name.startswith("map/")}
        for (name, stack), conv in self.head.finals.items():
            for suffix in ("", "/at"):
                tower = state.get(f"tower/{name}/{stack}{suffix}")
                if tower is not None:
                    out[f"{name}/{stack}{suffix}"] = conv(tower)
        return out

    def class_columns(self):
        """As `Detector.class_columns`."""
        layers = {id(layer) for layer in self.parts["head/class_head"]}
        paths = [path for path, layer in self.paths().items() if id(layer) in layers]
        return {f"{path}/{name}": ClassColumns() for path in paths for name in ("kernel", "bias")}

    @property
    def unneeded(self) -> tuple:
        """As `Detector.unneeded`: the heads of keypoints that it does not find."""
        return () if self.pose else (r"_prediction_head_dict/.+\.Skeypoint\.S",)

    def files(self) -> dict:
        """As `Detector.files`: the label map with the names of the keypoints."""
        path = self.meta.keypoint_label_map_path
        if not self.pose or not path:
            return {}
        return {path.replace("\\", "/").rsplit("/", 1)[-1]: poses.label_map(self.pose, self.classes, self.label_ids)}

    def normalize(self, x):
        """As `Detector.normalize`."""
        return normalize(self.meta.feature_extractor, x)

    def _outputs(self, state, inputs=None, true_shapes=None) -> dict:
        return state | {"true_shapes": true_shapes}

    # Loss

    @property
    def grid(self) -> tuple[int, int]:
        """(height, width) of the output maps."""
        return tuple(side // STRIDE for side in self.input_size)

    def losses(self, state):
        """As `Detector.losses`; source: `CenterNetMetaArch.loss`."""
        for name in [name for name in state if name.startswith("map/")]:
            stack = int(name[4:])
            state = state | {f"{key}/{stack}": x for key, x in self.head.run(state[name], stack).items()}
        losses = CenterLosses(self.meta, self.extractor.stacks, truth_of(state), self.grid, len(self.classes))
        of_keypoints = losses.of_keypoints(state, self.pose) if self.pose else {}
        return losses.of_boxes(state) | of_keypoints

    def record(self, state, stage):
        """As `Detector.record`; before the last stage, towers at the objects only where no more is asked of them."""
        if stage < len(self.stages) - 1:
            return state
        found = objects(truth_of(state), self.grid)
        cells = dict.fromkeys((SCALE, OFFSET), center_cells(found, self.grid))
        if self.pose:
            cells[self.pose.regression] = regression_cells(found, self.pose, self.grid)[0]
        record = dict(state)
        for name, where in cells.items():
            for stack in range(self.extractor.stacks):
                tower = record.pop(f"tower/{name}/{stack}")
                record[f"tower/{name}/{stack}/at"] = tf.gather_nd(tower, where, batch_dims=1)
        return record

    # Detections

    def postprocess(self, predictions, true_shapes=None, threshold=0.0):
        """As `Detector.postprocess`; source: `CenterNetMetaArch.postprocess`."""
        last = self.extractor.stacks - 1
        maps = {name: predictions[f"{name}/{last}"] for name in self.head.names}
        shapes = np.asarray(predictions["true_shapes"] if true_shapes is None else true_shapes)
        params = self.meta.object_center_params
        centers = decoding.centers(maps[CENTER], shapes, params.max_box_predictions, params.peak_max_pool_kernel_size)
        boxes = decoding.boxes(centers, maps[SCALE], maps[OFFSET])
        cells = shapes[:, :2].astype(np.float32) / STRIDE  # the size of each image on the map
        kept = (centers.scores > 0) & (centers.scores >= threshold)
        found = self._find_keypoints(maps, centers, boxes, cells, kept) if self.pose else [()] * len(shapes)
        columns = zip(boxes, centers.scores, centers.channels, cells, kept, found, strict=True)
        return [
            Found(np.clip(b[k] / np.tile(size, 2), 0.0, 1.0), scores[k], channels[k], None, *keypoints)
            for b, scores, channels, size, k, keypoints in columns
        ]

    def _find_keypoints(self, maps, centers, boxes, cells, kept) -> list[tuple]:
        """(keypoints [N, K, 2], scores [N, K]) of each image's kept detections; zeros for those of other classes."""
        pose, mine = self.pose, kept & (centers.channels == self.pose.class_id)
        if not mine.any():
            empty = np.zeros((*mine.shape, len(pose.names), 2), np.float32)
            return [(each[k], each[k][..., 0]) for each, k in zip(empty, kept, strict=True)]
        points, scores = decoding.candidates(maps[pose.heatmap], maps[pose.offset], pose.task)
        middle = np.stack([centers.rows, centers.columns], axis=-1)[:, :, None]  # [B, k, 1, 2]
        regressed = decoding.gather(maps[pose.regression], centers.rows, centers.columns)
        regressed = (regressed.reshape(*mine.shape, -1, 2) + middle).astype(np.float32)
        found = []
        for i, rows in enumerate(mine):
            keypoints, of = np.zeros_like(regressed[i]), np.zeros(regressed.shape[1:3], np.float32)
            keypoints[rows], of[rows] = decoding.refine(
                regressed[i, rows], boxes[i, rows], points[i], scores[i], pose.task
            )
            found.append(((keypoints / cells[i])[kept[i]], of[kept[i]]))
        return found


def _reject_unsupported(config) -> None:
    """Raises for settings that would silently change the result."""
    wrong = _other_tasks(config) or _other_heads(config.model.center_net) or _other_features(config)
    if wrong:
        raise ConfigError(
            "detkit can't do what this CenterNet config asks for.",
            where=config.where(f"model.center_net.{wrong[0]}"),
            expected="object centres by penalty_reduced_logistic_focal_loss, sizes and offsets by "
            "l1_localization_loss, heads with one 3x3 convolution of 256 filters",
            fix="Use a config of the TF2 Detection Model Zoo.",
        )


def _other_tasks(config) -> list[str]:
    """Paths of missing tasks, and of tasks that detkit does not know."""
    model, raw = config.model.center_net, config.raw.find("model.center_net")
    others = "mask densepose track".split()
    names = [*(f"{name}_estimation_task" for name in others), "temporal_offset_task", "deepmac_mask_estimation"]
    missing = [name for name in ("object_center_params", "object_detection_task") if getattr(model, name) is None]
    return missing + [name for name in names if name in raw]


def _other_heads(model) -> list[str]:
    """Paths where a head has another loss or other hidden layers."""
    center, task = model.object_center_params, model.object_detection_task
    losses = {
        "object_center_params.classification_loss": (center.classification_loss, "penalty_reduced_logistic_focal_loss"),
        "object_detection_task.localization_loss": (task.localization_loss, "l1_localization_loss"),
    }
    wrong = [path for path, (loss, kind) in losses.items() if loss is None or getattr(loss, kind) is None]
    heads = (("object_center_params", center, "center"), ("object_detection_task", task, "scale"),
             ("object_detection_task", task, "offset"))  # fmt: skip
    fields = (("num_filters", 256), ("kernel_sizes", 3))
    return wrong + [
        f"{path}.{name}_head_{field}"
        for path, message, name in heads
        for field, usual in fields
        if getattr(message, f"{name}_head_{field}") not in ((), (usual,))
    ]


def _other_features(config) -> list[str]:
    """Paths of settings that the zoo's models leave as they are."""
    usual = {
        "feature_extractor.depth_multiplier": 1.0,
        "feature_extractor.use_depthwise": False,
        "feature_extractor.upsampling_interpolation": "nearest",
        "object_center_params.use_labeled_classes": False,
        "object_center_params.keypoint_weights_for_center": None,
    }
    return [path for path, value in usual.items() if config.raw.find(f"model.center_net.{path}", value) != value]
