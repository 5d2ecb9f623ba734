"""showtell: caption images with a frozen ResNet50 encoder and a recurrent decoder."""

__version__ = "0.2.0"
