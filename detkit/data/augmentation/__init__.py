"""Random changes of training photos that boxes, masks, keypoints and class maps follow."""

from detkit.data.augmentation.geometry import IGNORED, KEPT, Geometry, Pose
from detkit.data.augmentation.moving import MASK_SIDE, unvaried, vary
from detkit.data.augmentation.recipe import augmented

__all__ = ["IGNORED", "KEPT", "MASK_SIDE", "Geometry", "Pose", "augmented", "unvaried", "vary"]
