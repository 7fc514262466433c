"""Where one case lies that is one file or more: of BraTS, and of one's own data in whichever of the known forms."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Source:
    """Where one case lies. files: paths of its channels, in the task's order, or of the one file that holds them all.

    seg: path of the labels, or None. grade: "HGG", "LGG" or None, of BraTS. split: None, since no form says it.
    series: of a patient in DICOM the files of each channel's series; then `files` are the folders that they lie in.
    """

    name: str
    files: tuple[str, ...]
    seg: str | None = None
    grade: str | None = None
    split: str | None = None
    series: tuple[tuple[str, ...], ...] = ()

    @property
    def image(self) -> str:
        """Path of the first channel: what the case is named after in errors."""
        return self.files[0]

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file that is read."""
        files = [file for series in self.series for file in series] or self.files
        return (*files, *((self.seg,) if self.seg else ()))

    @property
    def labelled(self) -> bool:
        """Whether there is a ground truth."""
        return self.seg is not None
