"""Lists the image files of a folder with one folder of images per class.

One rule decides what belongs to the data set, and what it leaves out is counted for the user:

    names that begin with a dot        left out, folders with all they hold
    folders                            searched, whatever their names, and links to them too
    suffixes of formats Pillow decodes images, in upper or lower case
    all other files                    left out

A link that leads nowhere, a folder that cannot be listed, or a class that train/ and test/ do not
share is an error: images would be missing without notice.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from workers.datasets.decoding import FileState, image_suffixes
from workers.datasets.errors import DamagedDataError, MissingDataError, system_errors
from workers.datasets.notes import counted

__all__ = ["ImageFile", "ImageFiles", "list_images", "printable"]

_KEY = "dataset.kwargs.path"
_TEST_NAMES = ("test", "val")
_PART_NAMES = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})
_MAX_SUFFIXES = 5  # named in a note


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file.

    Args:
        path: Where it is.
        label: Position of its class.
        state: Its size and modification time.
    """

    path: Path
    label: int
    state: FileState


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """The image files of a folder.

    Args:
        classes: Names of the classes by label, sorted, in Unicode's composed form (NFC).
        train: Files to learn from.
        test: Files to judge by; None where they are not apart.
        notes: What was left out, in sentences for the user.
    """

    classes: tuple[str, ...]
    train: tuple[ImageFile, ...]
    test: tuple[ImageFile, ...] | None
    notes: tuple[str, ...]


_HIDDEN = ("hidden file or folder", "hidden files and folders")
_BESIDE_CLASSES = ("file beside the class folders", "files beside the class folders")
_CIRCULAR = (
    "link that leads back to a folder above it",
    "links that lead back to a folder above them",
)
_SPECIAL = ("pipe, socket or device", "pipes, sockets or devices")
_NO_IMAGES = ("file that is no image", "files that are no images")


@dataclass(slots=True)
class _LeftOut:
    """Counts of files and folders that do not belong to the data set."""

    suffixes: Counter[str] = field(default_factory=Counter)
    others: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By singular and plural of a kind."""

    def file(self, name: str) -> None:
        """Count a file that is no image."""
        self.suffixes[printable(Path(name).suffix.lower()) or "no suffix"] += 1

    def notes(self) -> tuple[str, ...]:
        """The counts as at most one sentence."""
        parts = [counted(count, *kind) for kind, count in self.others.items()]
        if self.suffixes:
            most = self.suffixes.most_common(_MAX_SUFFIXES)
            named = ", ".join(f"{count:,} {suffix}" for suffix, count in most)
            rest = self.suffixes.total() - sum(count for _, count in most)
            more = f", {counted(rest, 'other', 'others')}" if rest else ""
            total = counted(self.suffixes.total(), *_NO_IMAGES)
            parts.append(f"{total} ({named}{more})")
        return (f"left out: {'; '.join(parts)}",) if parts else ()


def list_images(root: Path, shown: str) -> ImageFiles:
    """List the images below a folder, class by class.

    Args:
        root: The folder: it holds ``train/`` and ``test/`` (or ``val/``) with one folder per class
            in each, or the folders of the classes themselves.
        shown: What messages call the folder.

    Raises:
        MissingDataError: No folder, too few classes, a class without images, a broken link, or a
            folder that cannot be listed.
        DamagedDataError: Names of classes clash or are not UTF-8.
    """
    with system_errors(_KEY, shown):
        is_folder = root.is_dir()
    if not is_folder:
        raise MissingDataError(_KEY, f"{shown} is no folder", "name a folder of class folders")
    left_out = _LeftOut()
    notes: list[str] = []
    entries = {entry.name: entry for entry in _entries(root, shown)}
    if "train" not in entries or not _is_folder(entries["train"], shown):
        folders = _class_folders(root, shown, left_out)
        classes = _require_classes(folders, shown)
        if {name.casefold() for name in classes} <= _PART_NAMES:
            raise MissingDataError(
                _KEY,
                f"{shown} holds {', '.join(map(printable, classes))}",
                "name these folders train and test, in lower case, or name a folder of classes",
            )
        train = _files(folders, classes, shown, left_out)
        return ImageFiles(classes, train, None, (*_similar(classes), *left_out.notes()))
    part = next((n for n in _TEST_NAMES if n in entries and _is_folder(entries[n], shown)), None)
    if part is None:
        raise MissingDataError(
            _KEY,
            f"{shown} holds train/ but neither test/ nor val/",
            "add one, or name the folder of class folders itself to split it",
        )
    for name, entry in entries.items():
        if name.startswith("."):
            left_out.others[_HIDDEN] += 1
        elif name not in ("train", part) and _is_folder(entry, shown):
            notes.append(f"{printable(name)}/ is not used, only train/ and {part}/ are")
        elif name not in ("train", part):
            left_out.others[_BESIDE_CLASSES] += 1
    train_folders = _class_folders(root / "train", f"{shown}/train", left_out)
    test_folders = _class_folders(root / part, f"{shown}/{part}", left_out)
    classes = _require_classes(train_folders, f"{shown}/train")
    for name in test_folders:
        if name not in train_folders:
            raise MissingDataError(
                _KEY,
                f"{shown}/{part}/{printable(name)} is a class that train/ does not have "
                f"({', '.join(map(printable, classes[:20]))})",
                "add it to train/, rename it, or remove it",
            )
    train = _files(train_folders, classes, f"{shown}/train", left_out)
    test = _files(test_folders, classes, f"{shown}/{part}", left_out)
    return ImageFiles(classes, train, test, (*notes, *_similar(classes), *left_out.notes()))


def printable(name: str) -> str:
    """Return a name with what cannot be printed, or is not UTF-8, as an escape sequence."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in name
    )


def _class_folders(root: Path, shown: str, left_out: _LeftOut) -> dict[str, Path]:
    """Return the folders of the classes by name."""
    folders: dict[str, Path] = {}
    for entry in _entries(root, shown):
        name = printable(entry.name)
        if entry.name.startswith("."):
            left_out.others[_HIDDEN] += 1
        elif not stat.S_ISDIR(_status(entry, shown).st_mode):
            left_out.others[_BESIDE_CLASSES] += 1
        elif not _is_utf8(entry.name):
            raise DamagedDataError(_KEY, f"{shown}/{name} is not a UTF-8 name", "rename it")
        else:
            composed = unicodedata.normalize("NFC", entry.name)
            if composed in folders:
                raise DamagedDataError(
                    _KEY,
                    f"{shown} holds two folders named {name}, in two Unicode forms",
                    "merge or rename them",
                )
            folders[composed] = Path(entry.path)
    return folders


def _require_classes(folders: dict[str, Path], shown: str) -> tuple[str, ...]:
    """Return the names of the classes, sorted: labels count from 0 in this order."""
    if len(folders) < 2:
        raise MissingDataError(
            _KEY, f"{shown} holds {len(folders)} class folders", "give 2 or more"
        )
    return tuple(sorted(folders))


def _similar(classes: tuple[str, ...]) -> Iterator[str]:
    """Yield a note for classes whose names differ in case alone."""
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(name.casefold(), []).append(printable(name))
    for names in alike.values():
        if len(names) > 1:
            yield f"{' and '.join(names)} are different classes, though only their case differs"


def _files(
    folders: dict[str, Path], classes: tuple[str, ...], shown: str, left_out: _LeftOut
) -> tuple[ImageFile, ...]:
    """Return the image files of all classes in a fixed order."""
    found: list[ImageFile] = []
    for label, name in enumerate(classes):
        folder = folders.get(name)
        where = f"{shown}/{printable(name)}"
        images = (
            []
            if folder is None
            else sorted(_images(folder, where, left_out, frozenset()), key=lambda image: image[0])
        )
        if not images:
            raise MissingDataError(_KEY, f"{where} holds no image", "add some, or remove it")
        found += [ImageFile(path, label, state) for path, state in images]
    return tuple(found)


def _images(
    folder: Path, shown: str, left_out: _LeftOut, above: frozenset[tuple[int, int]]
) -> Iterator[tuple[Path, FileState]]:
    """Yield the image files below a folder; ``above`` holds the folders that lead to it."""
    with system_errors(_KEY, shown):
        status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        left_out.others[_CIRCULAR] += 1
        return
    for entry in _entries(folder, shown):
        is_image = Path(entry.name).suffix.lower() in image_suffixes()
        if entry.name.startswith("."):
            left_out.others[_HIDDEN] += 1
            continue
        if Path(entry.name).suffix and not is_image and not _leads_somewhere(entry, shown):
            left_out.file(entry.name)
            continue
        status = _status(entry, shown)
        if stat.S_ISDIR(status.st_mode):
            below = f"{shown}/{printable(entry.name)}"
            yield from _images(Path(entry.path), below, left_out, above | {identity})
        elif not is_image:
            left_out.file(entry.name)
        elif not stat.S_ISREG(status.st_mode):
            left_out.others[_SPECIAL] += 1
        else:
            yield Path(entry.path), FileState.of(status)


def _entries(folder: Path, shown: str) -> list[os.DirEntry[str]]:
    """Return what a folder holds, sorted by name."""
    with system_errors(_KEY, shown), os.scandir(folder) as found:
        return sorted(found, key=lambda entry: entry.name)


def _status(entry: os.DirEntry[str], shown: str) -> os.stat_result:
    """Return the status of what an entry is, or leads to."""
    where = f"{shown}/{printable(entry.name)}"
    try:
        with system_errors(_KEY, where):
            return entry.stat()
    except MissingDataError as error:
        if entry.is_symlink():
            raise MissingDataError(
                _KEY, f"{where} is a link that leads nowhere", "mend or remove it"
            ) from error
        raise


def _leads_somewhere(entry: os.DirEntry[str], shown: str) -> bool:
    with system_errors(_KEY, f"{shown}/{printable(entry.name)}"):
        return Path(entry.path).exists()


def _is_folder(entry: os.DirEntry[str], shown: str) -> bool:
    with system_errors(_KEY, f"{shown}/{printable(entry.name)}"):
        return entry.is_dir()


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
