"""Built-in data sets."""

from __future__ import annotations

from workers.tasks import TEXT_SHIFTS

from .catalog import Catalog, CatalogEntry

__all__ = ["datasets"]

datasets = Catalog(
    "dataset",
    [
        CatalogEntry(
            "digits",
            "Digits",
            "workers.datasets:load_dataset",
            "1,797 hand-written digits of 8x8 pixels, shipped with scikit-learn.",
            {"classes": 10, "train_images": 1297, "image_size": 8},
        ),
        CatalogEntry(
            "cifar10",
            "CIFAR-10",
            "workers.datasets:load_dataset",
            "60,000 colour images of 32x32 pixels in 10 classes.",
            {
                "classes": 10,
                "train_images": 50_000,
                "image_size": 32,
                "test_sets": ("cifar10.1-v4", "cifar10.1-v6"),
            },
        ),
        CatalogEntry(
            "cifar100",
            "CIFAR-100",
            "workers.datasets:load_dataset",
            "60,000 colour images of 32x32 pixels in 100 classes.",
            {"classes": 100, "train_images": 50_000, "image_size": 32},
        ),
        CatalogEntry(
            "image-folder",
            "Image folder",
            "workers.datasets:load_dataset",
            "Any folder with train/ and test/, one folder of images per class in each.",
            {},
        ),
        CatalogEntry(
            "zipf-grammar",
            "Zipf grammar",
            "workers.datasets:load_dataset",
            "Sentences of a random grammar with Zipf-distributed words, made from a seed.",
            {
                "task": "text",
                "ood_sets": TEXT_SHIFTS,
                "train_images": 2048,
                "size_keyword": "train",
            },
        ),
        CatalogEntry(
            "text-file",
            "Text file",
            "workers.datasets:load_dataset",
            "Any file, as bytes.",
            {"task": "text", "classes": 256},
        ),
    ],
)
