"""Running a detector over images and video: sources -> batches -> detections -> sinks."""
