"""TFDS datasets: COCO, folders in Karpathy's format, and the built-in drawn shapes."""
