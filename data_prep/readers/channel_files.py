"""The headers of a case's channels, whether they are NIfTI files or series of DICOM images."""

from __future__ import annotations

from typing import Any

from data_prep.readers import nifti
from data_prep.readers.cases import Source


def series(source: Any) -> tuple[tuple[str, ...], ...]:
    """The files of each channel's DICOM series of any reader's `Source`; none of one whose files are none."""
    return getattr(source, "series", ())


def headers(source: Source, dimensions: tuple[int, ...] = (3,)) -> list[nifti.Header]:
    """A checked header of each file, or series, of a case; `nifti.read_array` reads what they announce.

    dimensions: how many axes a NIfTI file may have. Raises `UserError` naming the file or the series.
    """
    if not source.series:
        return [nifti.read_header(path, dimensions) for path in source.files]
    from data_prep.readers import dicom_series  # its package is an extra

    return [dicom_series.header(files) for files in source.series]
