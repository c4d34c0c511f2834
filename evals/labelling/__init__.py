"""People label what judges have judged: the queue, the local page, and the labels as a file."""
