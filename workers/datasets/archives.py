"""Published archives of data sets: addresses, sizes, checksums and files.

Sources: torchvision 0.29 (CIFAR); Zenodo record 2535967 (CIFAR-10-C), with the sums of its files
taken from the extracted archive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["ARCHIVES", "CIFAR10", "CIFAR10_C", "CIFAR100", "Archive"]


@dataclass(frozen=True, slots=True)
class Archive:
    """One published archive.

    Args:
        name: Name in ``sasam data fetch``.
        url: Address of the download.
        file_name: Its file name.
        size_bytes: Its exact size.
        md5: Its MD5.
        sha256: Its SHA-256, if known.
        folder: The folder it extracts to.
        extracted_bytes: Approximate disk space of that folder.
        files: MD5 of each used file in the folder.
    """

    name: str
    url: str
    file_name: str
    size_bytes: int
    md5: str
    sha256: str | None
    folder: str
    extracted_bytes: int
    files: Mapping[str, str]


CIFAR10 = Archive(
    name="cifar10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    file_name="cifar-10-python.tar.gz",
    size_bytes=170_498_071,
    md5="c58f30108f718f92721af3b95e74349a",
    sha256=None,
    folder="cifar-10-batches-py",
    extracted_bytes=186_000_000,
    files={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
)

CIFAR100 = Archive(
    name="cifar100",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    file_name="cifar-100-python.tar.gz",
    size_bytes=169_001_437,
    md5="eb9058c3a382ffc7106e4002c42a8d85",
    sha256=None,
    folder="cifar-100-python",
    extracted_bytes=187_000_000,
    files={
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
)

CIFAR10_C = Archive(
    name="cifar10-c",
    url="https://zenodo.org/records/2535967/files/CIFAR-10-C.tar?download=1",
    file_name="CIFAR-10-C.tar",
    size_bytes=2_918_471_680,
    md5="56bf5dcef84df0e2308c6dcbcbbd8499",
    sha256="c72763e101c723b7c507b96205f7e938912a5d587376173b825850cf3cb876a7",
    folder="CIFAR-10-C",
    extracted_bytes=2_918_500_000,
    files={
        "gaussian_noise.npy": "ecaf8b9a2399ffeda7680934c33405fd",
        "shot_noise.npy": "3a7239bb118894f013d9bf1984be7f11",
        "impulse_noise.npy": "2090e01c83519ec51427e65116af6b1a",
        "defocus_blur.npy": "7d1322666342a0702b1957e92f6254bc",
        "glass_blur.npy": "7361fb4019269e02dbf6925f083e8629",
        "motion_blur.npy": "fffa5f852ff7ad299cfe8a7643f090f4",
        "zoom_blur.npy": "6ea8e63f1c5cdee1517533840641641b",
        "snow.npy": "bb238de8555123da9c282dea23bd6e55",
        "frost.npy": "31f6ab3bce1d9934abfb0cc13656f141",
        "fog.npy": "7b397314b5670f825465fbcd1f6e9ccd",
        "brightness.npy": "0a81ef75e0b523c3383219c330a85d48",
        "contrast.npy": "3c8262171c51307f916c30a3308235a8",
        "elastic_transform.npy": "9421657c6cd452429cf6ce96cc412b5f",
        "pixelate.npy": "0f14f7e2db14288304e1de10df16832f",
        "jpeg_compression.npy": "2b9cc4c864e0193bb64db8d7728f8187",
        "speckle_noise.npy": "ef00b87611792b00df09c0b0237a1e30",
        "gaussian_blur.npy": "c33370155bc9b055fb4a89113d3c559d",
        "spatter.npy": "8a5a3903a7f8f65b59501a6093b4311e",
        "saturate.npy": "1cfae0964219c5102abbb883e538cc56",
        "labels.npy": "c439b113295ed5254878798ffe28fd54",
    },
)

ARCHIVES: MappingProxyType[str, Archive] = MappingProxyType(
    {archive.name: archive for archive in (CIFAR10, CIFAR100, CIFAR10_C)}
)
