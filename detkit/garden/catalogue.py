"""The experiments of tf-models-official 2.20 that find or segment objects: what each is, needs, and lacks.

The numbers of parameters were counted on the models as their experiments describe them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from detkit.errors import ConfigError
from detkit.garden.classifiers import CLASSIFIERS
from detkit.pipeline.fields import nearest

# Families that detkit trains.
SEGMENTING = ("DeepLabV3", "DeepLabV3+", "FPN segmentation")  # families that tell the class of each pixel
TRAINED = ("RetinaNet", "Faster R-CNN", "Mask R-CNN", "Cascade R-CNN", "DETR", "YOLOv4", "YOLOv7", *SEGMENTING)
RUN: tuple[str, ...] = ()  # those that it does not train
_MODULES = {  # of a family: the module with its experiments, and that with its task
    "RetinaNet": ("vision.configs.retinanet", "vision.tasks.retinanet"),
    "Faster R-CNN": ("vision.configs.maskrcnn", "vision.tasks.maskrcnn"),
    "Mask R-CNN": ("vision.configs.maskrcnn", "vision.tasks.maskrcnn"),
    "Cascade R-CNN": ("vision.configs.maskrcnn", "vision.tasks.maskrcnn"),
    "YOLOv4": ("projects.yolo.configs.yolo", "projects.yolo.tasks.yolo"),
    "YOLOv7": ("projects.yolo.configs.yolov7", "projects.yolo.tasks.yolov7"),
    "DETR": ("projects.detr.configs.detr", "projects.detr.tasks.detection"),
    "CenterNet": ("projects.centernet.configs.centernet", "projects.centernet.tasks.centernet"),
    "DeepLabV3": ("vision.configs.semantic_segmentation", "vision.tasks.semantic_segmentation"),
    "DeepLabV3+": ("vision.configs.semantic_segmentation", "vision.tasks.semantic_segmentation"),
    "FPN segmentation": ("vision.configs.semantic_segmentation", "vision.tasks.semantic_segmentation"),
}

_YOLO_PARTS = tuple(
    f"projects.yolo.modeling.{module}"
    for module in ("backbones.darknet", "backbones.yolov7", "decoders.yolo_decoder", "decoders.yolov7")
)


@dataclass(frozen=True)
class Experiment:
    """An experiment of Model Garden.

    Attributes:
        name: as Model Garden registers it.
        family: the kind of model.
        backbone: and its decoder.
        size: (height, width) of its input, None where the experiment does not say.
        columns: of its class scores, the background's with them; None where the experiment does not say.
        parameters: that training can change.
        needs: {dotted path of an option that the experiment leaves open: an example}.
        broken: what upstream has to mend before the experiment can be built; "" for nothing.
        note: what is worth knowing.
    """

    name: str
    family: str
    backbone: str
    size: tuple[int, int] | None = None
    columns: int | None = None
    parameters: int | None = None
    needs: Mapping[str, str] = field(default_factory=dict)
    broken: str = ""
    note: str = ""

    @property
    def module(self) -> str:
        """The module, below `official`, that registers the experiment."""
        return _MODULES[self.family][0]

    @property
    def task_module(self) -> str:
        """The module, below `official`, that knows how to build it."""
        return _MODULES[self.family][1]

    @property
    def part_modules(self) -> tuple[str, ...]:
        """Modules that the one with the task leaves out, of what it may be built of."""
        return _YOLO_PARTS if self.family.startswith("YOLO") else ()

    @property
    def state(self) -> str:
        """ "trains", "runs" (detkit does not train it), "builds" (detkit has no bridge to it) or "broken"."""
        if self.broken:
            return "broken"
        return "trains" if self.family in TRAINED else "runs" if self.family in RUN else "builds"

    @property
    def background(self) -> int:
        """How many columns of the class scores come before those of the classes."""
        return 0 if self.family.startswith("YOLO") or self.name.endswith("_cityscapes") else 1

    @property
    def task(self) -> str:
        """What detkit makes of it: "detection" or "segmentation"."""
        return "segmentation" if self.family in SEGMENTING else "detection"

    def check(self, training: bool = False) -> Experiment:
        """The experiment itself; ConfigError where detkit can make no model of it, or train none."""
        fine = ("trains",) if training else ("trains", "runs")
        if self.state in fine:
            return self
        what = f"detkit {'does not train' if self.state == 'runs' else 'has no bridge to'} {self.family}."
        raise ConfigError(
            f"{self.name} is broken in Model Garden." if self.broken else what,
            got=self.broken or None,
            expected="one of " + ", ".join(entry.name for entry in EXPERIMENTS if entry.state in fine),
            fix="`detkit garden list` shows what works.",
        )


_CLASSES, _SIZE = {"task.model.num_classes": "2"}, {"task.model.input_size": "[384, 384, 3]"}
_ANCHORS = {
    "task.model.anchor_boxes.boxes": "[{box: [12, 16]}, {box: [19, 36]}, {box: [40, 28]}, {box: [36, 75]}, "
    "{box: [76, 55]}, {box: [72, 146]}, {box: [142, 110]}, {box: [192, 243]}, {box: [459, 401]}]"
}
_YOLO_NOTE = "its columns have no background"
_DETR_NOTE = "Model Garden can restore its backbone or go on in its model_dir; init_checkpoint_modules: all fails"
_CITYSCAPES_NOTE = "its columns have no background; a model for other classes gets one"

EXPERIMENTS = (
    Experiment(
        "retinanet", "RetinaNet", "ResNet-50, FPN", needs=_CLASSES | _SIZE,
        note="takes ResNet, MobileNet, SpineNet and EfficientNet backbones; "
        "broken upstream with ViT, which does not tell the sizes of its outputs",
    ),
    Experiment("retinanet_resnetfpn_coco", "RetinaNet", "ResNet-50, FPN", (640, 640), 91, 34_091_159),
    Experiment("retinanet_spinenet_coco", "RetinaNet", "SpineNet-49", (640, 640), 91, 28_543_383),
    Experiment("retinanet_mobile_coco", "RetinaNet", "SpineNet-mobile-49", (384, 384), 91, 2_337_579),
    Experiment("fasterrcnn_resnetfpn_coco", "Faster R-CNN", "ResNet-50, FPN", (1024, 1024), 91, 43_718_422),
    Experiment("maskrcnn_resnetfpn_coco", "Mask R-CNN", "ResNet-50, FPN", (1024, 1024), 91, 46_367_089),
    Experiment("maskrcnn_spinenet_coco", "Mask R-CNN", "SpineNet-49", (640, 640), 91, 40_753_521),
    Experiment("maskrcnn_mobilenet_coco", "Mask R-CNN", "MobileNetV2, FPN", (512, 512), 91, 6_041_969),
    Experiment("cascadercnn_spinenet_coco", "Cascade R-CNN", "SpineNet-49", (640, 640), 91, 71_000_263),
    Experiment("yolo", "YOLOv4", "CSPDarknet-53", (512, 512), 80, needs=_ANCHORS, note=_YOLO_NOTE),
    Experiment("yolo_darknet", "YOLOv4", "CSPDarknet-53", (512, 512), 80, 64_363_101, note=_YOLO_NOTE),
    Experiment("scaled_yolo", "YOLOv4", "CSPDarknet-53", (512, 512), 80, 64_363_101, note=_YOLO_NOTE),
    Experiment("yolov7", "YOLOv7", "YOLOv7", (640, 640), 80, needs=_ANCHORS, note=_YOLO_NOTE),
    Experiment("coco_yolov7", "YOLOv7", "YOLOv7", (640, 640), 80, 37_622_682, note=_YOLO_NOTE),
    Experiment("coco_yolov7x", "YOLOv7", "YOLOv7-X", (640, 640), 80, 72_427_074, note=_YOLO_NOTE),
    Experiment("coco_yolov7tiny", "YOLOv7", "YOLOv7-tiny", (416, 416), 80, 4_852_506, note=_YOLO_NOTE),
    Experiment("coco91_yolov7tiny", "YOLOv7", "YOLOv7-tiny", (416, 416), 91, 4_152_800, note=_YOLO_NOTE),
    Experiment("coco_yolov7_nano", "YOLOv7", "YOLOv7-nano", (640, 640), 80, 350_658, note=_YOLO_NOTE),
    Experiment("coco_yolov7_pico", "YOLOv7", "YOLOv7-pico", (640, 640), 80, 54_562, note=_YOLO_NOTE),
    Experiment("detr_coco", "DETR", "ResNet-50", (1333, 1333), 81, 41_504_021, note=_DETR_NOTE),
    Experiment("detr_coco_tfrecord", "DETR", "ResNet-50", (1333, 1333), 91, 41_506_591, note=_DETR_NOTE),
    Experiment("detr_coco_tfds", "DETR", "ResNet-50", (1333, 1333), 81, 41_504_021, note=_DETR_NOTE),
    Experiment(
        "centernet_hourglass_coco", "CenterNet", "Hourglass-52", None, 90, needs=_SIZE,
        note="detkit has a CenterNet of its own, for the OD API's models: `detkit zoo list`",
    ),
    Experiment("semantic_segmentation", "FPN segmentation", "ResNet-50", needs=_CLASSES),
    Experiment("seg_resnetfpn_pascal", "FPN segmentation", "ResNet-50, FPN", None, 21, 29_155_669),
    Experiment("seg_deeplabv3_pascal", "DeepLabV3", "dilated ResNet-101, ASPP", None, 21, 58_164_437),
    Experiment("seg_deeplabv3plus_pascal", "DeepLabV3+", "dilated ResNet-101, ASPP", None, 21, 59_468_085),
    Experiment(
        "seg_deeplabv3plus_cityscapes", "DeepLabV3+", "dilated ResNet-101, ASPP", None, 19, 59_467_571,
        note=_CITYSCAPES_NOTE,
    ),
    Experiment("mnv2_deeplabv3_pascal", "DeepLabV3", "MobileNetV2, ASPP", None, 21, 2_525_717),
    Experiment(
        "mnv2_deeplabv3_cityscapes", "DeepLabV3", "MobileNetV2, ASPP", None, 19, 2_525_203, note=_CITYSCAPES_NOTE,
    ),
    Experiment(
        "mnv2_deeplabv3plus_cityscapes", "DeepLabV3+", "MobileNetV2, ASPP", None, 19, 2_682_755, note=_CITYSCAPES_NOTE,
    ),
)  # fmt: skip


def find(name: str) -> Experiment:
    """The experiment of that name; ConfigError if there is none."""
    found = {entry.name: entry for entry in EXPERIMENTS}.get(name)
    if found is None:
        backbone = next((entry for entry in CLASSIFIERS if entry.name == name), None)
        names = [entry.name for entry in (*EXPERIMENTS, *CLASSIFIERS)]
        fix = nearest(name, names) or "`detkit garden list` shows all names."
        raise ConfigError(
            f"Model Garden has no experiment for detkit with the name {name!r}.",
            fix=f"It is {backbone.note}." if backbone else fix,
        )
    return found
