"""What a GPU machine without network does with the loads of `make gpu-kit`: `first` measures, `second` trains."""
