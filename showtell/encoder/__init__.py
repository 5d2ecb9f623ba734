"""The frozen convolutional encoder: an ImageNet-pretrained ResNet."""
