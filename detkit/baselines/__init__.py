"""What the courses teach before the detector: sliding windows, selective search, R-CNN."""
