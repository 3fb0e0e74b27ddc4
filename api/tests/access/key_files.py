"""Folders of API keys as tests need them."""

import os
from hashlib import sha256
from pathlib import Path

ONE, TWO = "sfk_" + "1" * 43, "sfk_" + "2" * 43


def line(key: str, *services: str) -> str:
    """The line of a file for `key`."""
    return " ".join([sha256(key.encode()).hexdigest(), *services]) + "\n"


def bearer(key: str) -> dict[str, str]:
    """The header with a key."""
    return {"Authorization": f"Bearer {key}"}


class Mount:
    """A Secret as the kubelet mounts it: all files are exchanged at once, by one link."""

    def __init__(self, folder: Path, **files: str) -> None:
        self.folder, self._version = folder, 0
        folder.mkdir()
        self.swap(**files)

    def swap(self, **files: str) -> None:
        """Another content of the Secret."""
        self._version += 1
        version = self.folder / f"..2026_{self._version}"
        version.mkdir()
        for name, text in files.items():
            (version / name).write_text(text)
            link = self.folder / name
            if not link.is_symlink():
                link.symlink_to(Path("..data") / name)
        new = self.folder / "..data_tmp"
        new.symlink_to(version.name)
        os.replace(new, self.folder / "..data")
        for link in self.folder.iterdir():
            if not link.name.startswith(".") and link.name not in files:
                link.unlink()
