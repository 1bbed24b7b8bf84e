"""Which of timm's networks the service trains and measures, at 32 x 32 pixels and 10 classes.

    python tests/benchmarks/survey_timm.py > docs/models.md

Each network goes through the check before a sweep, then through one trial: an epoch of one SA-SAM
step on 16 images, and the curvature of its loss on 10 images with at most 6 Hessian products.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import signal
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image

from workers.spec import SpecError, validate_spec
from workers.training import preflight, run_trial
from workers.trial_data import DeviceData, load_trial_data

NETWORKS: dict[str, dict[str, Any]] = {  # the smallest first
    name: {"patch_size": 4} if name in ("vit_tiny_patch16_224", "deit_tiny_patch16_224") else {}
    for name in (
        *("mobilenetv2_050", "mnasnet_small", "tinynet_e", "edgenext_xx_small"),
        *("mobilenetv3_small_100", "regnetx_002", "regnety_002", "fastvit_t8", "convnext_atto"),
        *("convnextv2_atto", "efficientnet_lite0", "efficientnet_b0", "ghostnet_100"),
        *("hardcorenas_a", "coat_tiny", "vit_tiny_patch16_224", "deit_tiny_patch16_224"),
        *("ese_vovnet19b_dw", "gmlp_ti16_224", "levit_128s", "densenet121", "repvgg_a0"),
        *("resnet18", "efficientformer_l1", "poolformer_s12", "efficientnetv2_rw_t"),
        *("gmixer_12_224", "hrnet_w18_small", "resnet26", "resmlp_12_224", "dla34"),
        *("mixer_s32_224", "inception_v3", "resnet50", "resnext50_32x4d", "xception41"),
        *("swin_tiny_patch4_window7_224", "convnext_tiny", "maxvit_tiny_rw_224", "nfnet_l0"),
        *("wide_resnet50_2", "dm_nfnet_f0", "vgg11_bn"),
    )
}

_HEADER = """# Networks of timm

What `python tests/benchmarks/survey_timm.py` found with timm {timm} and torch {torch} on a CPU, for
images of 3 x 32 x 32 and 10 classes: one training step of SA-SAM and a measurement of curvature,
through the check that every sweep passes before its trials start. "exact" differentiates twice;
"differences" means that torch has no second derivative of the network, which is then measured by
central differences of its gradients (`GradientDifferenceOperator`); each trial then records
`hessian_by_differences` = 1. A refused network is refused before it trains. Larger images (the data
set's `image_size`), other keywords (`model.kwargs`) or `curvature: null` may help.

| `timm:` model | kwargs | parameters | Hessian |
|---|---|---:|---|"""


def main() -> None:
    """Write the table, one row per network; each network has a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="networks; all of the list by default")
    parser.add_argument("--cpu-seconds", type=int, default=120, help="limit for each network")
    arguments = parser.parse_args()
    print(_HEADER.format(timm=timm.__version__, torch=torch.__version__), flush=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__"])  # imports once what every process needs
    for name in arguments.names or NETWORKS:
        process = context.Process(target=_print_row, args=(name, arguments.cpu_seconds))
        process.start()
        process.join()
        if process.exitcode == -signal.SIGXCPU:
            print(f"| `{name}` | | | not measured in {arguments.cpu_seconds} CPU seconds |")
        elif process.exitcode != 0:
            print(f"| `{name}` | | | failed with exit code {process.exitcode} |", flush=True)


def _print_row(name: str, cpu_seconds: int) -> None:
    """Print the row of a network unless its process takes more CPU time than it may."""
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    print(survey(name), flush=True)


def survey(name: str) -> str:
    """Return the row of one network."""
    torch.set_num_threads(1)
    kwargs = NETWORKS.get(name, {})
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        _write_images(data_dir / "images")
        spec = validate_spec(
            {
                "name": "survey",
                "dataset": {"name": "image-folder", "kwargs": {"path": "images"}},
                "model": {"name": f"timm:{name}", "kwargs": kwargs},
                "optimizers": ["sa-sam"],
                "search": {"learning_rate": [0.001], "weight_decay": [0.0]},
                "training": {"epochs": 1, "batch_size": 16, "augmentation": "none"},
                "curvature": {"images": 10, "splits": ["validation"], "max_matvecs": 3},
            }
        )
        shown = json.dumps(kwargs) if kwargs else ""
        try:
            facts = preflight(spec, data_dir=data_dir, cache_dir=data_dir / "cache")
        except SpecError as error:
            reason = " ".join("; ".join(problem.message for problem in error.problems).split())
            return f"| `{name}` | {shown} | | refused: {reason.replace('|', '/')[:240]} |"
        data = load_trial_data(
            spec.dataset, spec.ood, data_dir=data_dir, cache_dir=data_dir / "cache"
        )
        device_data = DeviceData(data, torch.device("cpu"))
        (record,) = run_trial(spec.trials[0], device_data)
        method = facts.hessian_method
        if record["outcome"] != "completed" or "hessian_trace.validation" not in record:
            method += f", but the trial {record['outcome']}"
        elif record["hessian_by_differences.validation"] != (method == "differences"):
            method += ", but the trial took the other"
        return f"| `{name}` | {shown} | {facts.parameters:,} | {method} |"


def _write_images(folder: Path) -> None:
    """Write noise of 10 classes: 2 images of each to train, 1 to validate."""
    generator = np.random.default_rng(0)
    for part, count in (("train", 2), ("test", 1)):
        for label in range(10):
            (folder / part / str(label)).mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / str(label) / f"{index}.png")


if __name__ == "__main__":
    main()
