"""Looking at a dataset: its numbers, what anchors can match of it, contact sheets of its pictures."""
