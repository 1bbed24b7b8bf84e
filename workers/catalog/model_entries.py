"""Built-in models and families of models."""

from __future__ import annotations

from .catalog import Catalog, CatalogEntry

__all__ = ["models"]

models = Catalog(
    "model",
    [
        CatalogEntry(
            "cnn-tiny",
            "Tiny CNN",
            "workers.models.cnn:cnn_tiny",
            "Strided convolutions with BatchNorm and one linear layer, for small images.",
            {"kwargs": ("width",)},
        ),
        CatalogEntry(
            "vgg19",
            "VGG-19",
            "workers.models.vgg:vgg19",
            "VGG-19 for CIFAR: 16 convolutions with BatchNorm, one linear layer; 20.0 M weights.",
            {"kwargs": ("width",)},
        ),
        CatalogEntry(
            "vgg11-slim",
            "VGG-11 slim",
            "workers.models.vgg:vgg11_slim",
            "VGG-11 at a quarter of its width, for small machines.",
            {"kwargs": ("width",)},
        ),
        CatalogEntry(
            "vit-small",
            "ViT-Small",
            "workers.models.vit:vit_small",
            "ViT with shifted patch tokenisation and locality self-attention; 9.6 M weights.",
            {"kwargs": ("patch_size", "dim", "depth", "heads", "mlp_dim", "dropout")},
        ),
        CatalogEntry(
            "gpt",
            "GPT",
            "workers.models.gpt:gpt",
            "Decoder-only transformer with tied embeddings, for text; 0.1 M weights.",
            {"task": "text", "kwargs": ("width", "depth", "heads", "dropout")},
        ),
        CatalogEntry(
            "timm:",
            "timm",
            "workers.models.timm_models:build",
            "Any model of timm, with the keyword arguments of timm.create_model.",
            {},
        ),
    ],
)
