"""Random changes of training photos that boxes, masks, keypoints and class maps follow."""
