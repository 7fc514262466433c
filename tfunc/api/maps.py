"""What a prediction gives: the maps of one subject as arrays, with what is said of the subject as a whole."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data_prep import label_colours, map_files
from data_prep.base import names, stores
from data_prep.base.errors import UserError
from data_prep.tasks import Task
from tfunc.api import arguments, pictures
from tfunc.maps import dicom_seg as segmentations
from tfunc.methods import Method

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Interval = tuple[float, float | None]


@dataclasses.dataclass(frozen=True, eq=False)
class Maps:
    """The maps of one subject on its own grid, as `predict` writes them.

    prediction: uint8 or uint16 [depth, height, width], raw labels of the task, as in its label files.
    probability: float32 of that shape, of the foreground, in [0, 1]; of more than two classes [depth, height, width, classes].
    uncertainty: float32 [depth, height, width]. Of a method of kind `probability` the normalised entropy, in [0, 1]; of kind
        `error` an error probability; of kind `sigma` |sigma| of the predicted class's logit, which has no upper end.
    mutual_information: float32 [depth, height, width], normalised likewise, in [0, 1]; None of a method without samples, at a
        temperature, and where slices were resampled.
    affine: float64 [4, 4], voxel (x, y, z) to mm in RAS, of the arrays transposed; None of a photograph, whose arrays are
        [1, height, width], at the size at which the network sees it.
    volume_ml: {region: millilitres of its segmentation}; empty of a photograph.
    volume_interval: {region: (lower, upper) millilitres}, upper None where there is no bound. Of a model that was loaded
        `recalibrated` it covers the true volume in as many patients as its calibration says; of another method with samples it
        is the middle nine tenths of the samples' volumes, which promises nothing. None of the rest.
    scores: {region: {score: value}} as subjects.csv has them, higher is less sure; None where one subject has none (kind
        `sigma`).
    patient: what `predict --input` writes of the subject as a whole, by region: `volumes`, `uncertainty_inside`, `predicted_dice`
        and `review`, whether somebody should look at it and why; the last two need an evaluation of the run.
    name, method, task: whose they are, and of what.  image: float32 [depth, height, width], the channel that `plot` shows.
    source_size: (height, width) of a photograph's file, to which `own_size` brings the maps.
    images: the DICOM files of the series that they lie on, if any.  made_with: what maps of a file depend on.
    """

    name: str
    method: Method
    task: Task
    prediction: NDArray[np.unsignedinteger]
    probability: NDArray[np.float32]
    uncertainty: NDArray[np.float32]
    mutual_information: NDArray[np.float32] | None
    affine: NDArray[np.float64] | None
    volume_ml: dict[str, float]
    volume_interval: dict[str, Interval] | None
    scores: dict[str, dict[str, float | None]] | None
    image: NDArray[np.float32]
    source_size: tuple[int, int] | None = None
    header: bytes | None = dataclasses.field(default=None, repr=False)
    patient: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    about: map_files.About = dataclasses.field(default=map_files.About(), repr=False)
    images: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    made_with: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.prediction.shape))
        return f"<Maps of {self.name} by {self.method.name}, {shape}{''.join(f', {line}' for line in self._volumes())}>"

    @arguments.named
    def save(self, folder: pathlib.Path | str, dicom_seg: bool = False) -> list[pathlib.Path]:
        """Writes `<name>_{prediction,probability,uncertainty}.nii.gz`, and mutual_information where there is one.

        folder: a path or a URL.

        Beside them lie the names and colours of the labels, for ITK-SNAP and 3D Slicer. Each file is whole or not there, and
        replaces one of that name. dicom_seg: also `<name>_prediction.dcm`, of maps of a DICOM series: a Segmentation, which names
        the patient as the images do. Returns the paths. Raises `UserError` for a name that is no file's, and for a segmentation
        of other images.
        """
        folder = stores.place(folder)
        names.checked(self.name, "subject", folder, do="give predict(..., name=)")
        if dicom_seg:
            segmentations.require(self.name, [self.images] if self.images else [])
        found: Mapping[str, NDArray[Any] | None] = {
            "prediction": self.prediction,
            "probability": self.probability,
            "uncertainty": self.uncertainty,
            "mutual_information": self.mutual_information,
        }
        arrays = {name: values for name, values in found.items() if values is not None}
        label_colours.write(folder, self.task)
        map_files.write(folder, self.name, arrays, self.header, about=self.about)
        written = [map_files.path(folder, self.name, name) for name in arrays]
        if dicom_seg:
            written.append(
                segmentations.write(folder, self.name, self.prediction, self.task, self.images, self.made_with)
            )
        return written

    def own_size(self) -> dict[str, NDArray[Any]]:
        """A photograph's prediction, probability and uncertainty at its own size, [height, width], as `--full_size` writes them.

        A probability of several classes is that of any but the background. Raises `UserError` for maps of a volume, which lie on
        its own grid already.
        """
        if self.source_size is None:
            raise UserError("own_size", expected="maps of a photograph", found=f"a volume, {self.name}")
        from tfunc.maps import writing

        maps = {"prediction": self.prediction, "probability": self.probability, "uncertainty": self.uncertainty}
        return {name: writing.resized(values, self.source_size) for name, values in maps.items()}

    def plot(self, slice: int | None = None) -> Figure:
        """A figure of one slice: the image with the segmentation's outline, the uncertainty, and the probability.

        slice: its number; None: the one with most of the segmentation. Raises `UserError` for one that there is not.
        """
        return pictures.drawn(self, slice)

    def _volumes(self):
        lines = []
        for region, value in self.volume_ml.items():
            low, high = (self.volume_interval or {}).get(region, (None, None))
            between = "" if low is None else f" ({low:.4g} to {'any' if high is None else f'{high:.4g}'})"
            lines.append(f"{region} {value:.4g} ml{between}")
        return lines

    def _repr_html_(self) -> str:
        """For Jupyter: the picture of `plot`, under what is said of the subject."""
        file = io.BytesIO()
        self.plot().savefig(file, format="png", dpi=90)
        picture = base64.b64encode(file.getvalue()).decode()
        said = html.escape(", ".join([f"{self.name}, {self.method.title}", *self._volumes()]))
        return (
            f'<figure><figcaption>{said}</figcaption><img alt="{said}" src="data:image/png;base64,{picture}"></figure>'
        )
