"""Pictures for people: detections and ground truth drawn, contact sheets."""
