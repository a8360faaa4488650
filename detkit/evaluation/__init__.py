"""How good a detector is: COCO metrics and their plots."""
