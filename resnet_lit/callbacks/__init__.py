"""What hangs on the training loop: one file a callback."""
