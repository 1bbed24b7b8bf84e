"""Published archives of data sets: addresses, sizes, checksums and files.

Sources: torchvision 0.29 (CIFAR); Zenodo record 2535967 (CIFAR-10-C), with the sums of its files
taken from the extracted archive; Zenodo record 3555552 (CIFAR-100-C), with the sums of its files as
the Responsible AI Toolbox has them (mit-ll-responsible-ai/responsible-ai-toolbox).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = [
    "ARCHIVES",
    "CIFAR10",
    "CIFAR10_C",
    "CIFAR100",
    "CIFAR100_C",
    "OFFICIAL_CORRUPTIONS",
    "Archive",
]


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

CIFAR100_C = Archive(
    name="cifar100-c",
    url="https://zenodo.org/records/3555552/files/CIFAR-100-C.tar?download=1",
    file_name="CIFAR-100-C.tar",
    size_bytes=2_918_473_216,
    md5="11f0ed0f1191edbf9fa23466ae6021d3",
    sha256=None,
    folder="CIFAR-100-C",
    extracted_bytes=2_918_500_000,
    files={
        "gaussian_noise.npy": "ecc4d366eac432bdf25c024086f5e97d",
        "shot_noise.npy": "b0a1fa6e1e465a747c1b204b1914048a",
        "impulse_noise.npy": "3b3c210ddfa0b5cb918ff4537a429fef",
        "defocus_blur.npy": "d923e3d9c585a27f0956e2f2ad832564",
        "glass_blur.npy": "0bf384f38e5ccbf8dd479d9059b913e1",
        "motion_blur.npy": "732a7e2e54152ff97c742d4c388c5516",
        "zoom_blur.npy": "0204613400c034a81c4830d5df81cb82",
        "snow.npy": "0237be164583af146b7b144e73b43465",
        "frost.npy": "3a39c6823bdfaa0bf8b12fe7004b8117",
        "fog.npy": "4efc7ebd5e82b028bdbe13048e3ea564",
        "brightness.npy": "f22d7195aecd6abb541e27fca230c171",
        "contrast.npy": "322bb385f1d05154ee197ca16535f71e",
        "elastic_transform.npy": "a0792bd6581f6810878be71acedfc65a",
        "pixelate.npy": "96c00c60f144539e14cffb02ddbd0640",
        "jpeg_compression.npy": "c851b7f1324e1d2ffddeb76920576d11",
        "speckle_noise.npy": "e3f215b1a0f9fd9fd6f0d1cf94a7ce99",
        "gaussian_blur.npy": "5204ba0d557839772ef5a4196a052c3e",
        "spatter.npy": "12ccf41d62564d36e1f6a6ada5022728",
        "saturate.npy": "c0697e9fdd646916a61e9c312c77bf6b",
        "labels.npy": "bb4026e9ce52996b95f439544568cdb2",
    },
)

ARCHIVES: MappingProxyType[str, Archive] = MappingProxyType(
    {archive.name: archive for archive in (CIFAR10, CIFAR100, CIFAR10_C, CIFAR100_C)}
)

OFFICIAL_CORRUPTIONS: MappingProxyType[str, Archive] = MappingProxyType(
    {"cifar10": CIFAR10_C, "cifar100": CIFAR100_C}
)
"""Published corruptions of the test images, by data set."""
