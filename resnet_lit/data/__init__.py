"""Images as tensors: find, verify and decode them once, split them, and hand them out as augmented batches."""
