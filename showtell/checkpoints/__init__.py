"""Models on disk: safetensors files, folders of a model hub, fingerprints."""
