"""The interface of captioning models, and captioning with PyTorch."""
