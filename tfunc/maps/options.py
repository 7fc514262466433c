"""What a prediction is asked for, with its checks. No TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from data_prep.base.errors import UserError
from tfunc.methods import Method
from tfunc.nets import engine, precision, streams
from tfunc.runs import Config

SUBJECT_SEEDS = 2**31  # the seeds that a subject's own number fits beside in 64 bits
IMAGE_SEEDS = 2**63


@dataclasses.dataclass(frozen=True)
class Options:
    """samples: passes of a sampled method. seed: of its samples. precision: of the convolutions, `float32`, `bfloat16`, or
    `auto`, which becomes one of them when a folder of maps is begun.

    full_size: photographs, also PNG maps at the photograph's own size. names: `nnunet` for the segmentation under that name
    too. streams: version of the random streams, which is the network's own (`of`). draws: what shares the random numbers of
    one sample, a whole `subject` or each `slice` by itself; None: as the folder was begun, a new one by subject. regions: the
    classes of each region whose volume in every sample is kept; none: nothing is. recalibrated: whether probabilities are
    written at the temperature of the method's recalibration; outer: the share of a lesion that an outer mask beside them may
    miss, None for no mask. stratified: whether the masks of MC dropout are stratified over the samples; None: as the folder was
    begun, a new one not. engine: runs the networks, of `nets.engine.ENGINES`. dicom_seg: whether new patients in DICOM
    get their segmentation as DICOM too. mutual_information: whether its map is written beside the others, of a method that has
    one. Raises `UserError` naming the flag for a
    number that no prediction can have.
    """

    samples: int = 20
    seed: int = 20
    batch_size: int = 16
    precision: str = "float32"
    full_size: bool = False
    streams: int = streams.VERSION
    names: str = ""
    draws: str | None = None
    regions: tuple[tuple[int, ...], ...] = ()
    recalibrated: bool = False
    outer: float | None = None
    stratified: bool | None = None
    engine: str = engine.TENSORFLOW
    dicom_seg: bool = False
    mutual_information: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "samples"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name}={getattr(self, name)}", expected="1 or more")
        check_seed(self.seed, IMAGE_SEEDS)

    def of(self, config: Config) -> Options:
        """The same for a network of that configuration: whatever samples it draws what it always drew."""
        return dataclasses.replace(self, streams=config.streams)

    @property
    def folded(self) -> Options:
        """The same as networks are made with: another engine than TensorFlow rounds them to its precision by itself."""
        return self if self.engine == engine.TENSORFLOW else dataclasses.replace(self, precision=precision.FLOAT32)

    def drawn(self, method: Method) -> dict[str, int | str | bool | None]:
        """The samples, seed, streams, draws and strata that a method's maps depend on: of one that draws nothing, None."""
        draws = self.draws_of(method)
        found: dict[str, int | str | bool] = {
            "samples": self.samples,
            "seed": self.seed,
            "streams": self.streams,
            "draws": draws,
            "stratified": self.stratified_of(method),
        }
        return {name: value if method.sampled else None for name, value in found.items()}

    def draws_of(self, method: Method) -> str:
        """`subject` or `slice`; the latter, too, for a method whose samples belong together within a slice only."""
        return "slice" if method.coherent == "slice" else self.draws or "subject"

    def stratified_of(self, method: Method) -> bool:
        """Whether the samples are stratified; raises `UserError` for a method that has no masks to stratify."""
        if self.stratified and not method.stratifies:
            raise UserError("--stratified", expected="a method of MC dropout", found=f"--method={method.name}")
        return bool(self.stratified)

    def begun(self, stored: Mapping[str, Any] | None) -> Options:
        """The same with the draws, strata and precision of a folder that was begun, where none are asked for.

        stored: what it says; None of one in which nothing is yet.
        """
        if stored is None:
            return self
        kept: dict[str, Any] = {"draws": stored.get("draws") or None} if self.draws is None else {}
        if self.stratified is None and stored.get("stratified") is not None:
            kept["stratified"] = bool(stored["stratified"])
        if self.precision == precision.AUTO:
            kept["precision"] = precision.recorded(stored.get("precision")).name
        return dataclasses.replace(self, **kept)

    def spread(self, method: Method, regions: tuple[tuple[int, ...], ...]) -> Options:
        """The same with the regions whose volumes are kept: of a method whose samples each see a whole subject alike."""
        draws = self.draws_of(method)
        whole = draws == "subject" if method.sampled else bool(method.coherent)
        return dataclasses.replace(self, draws=draws, regions=regions if whole else ())


def check_seed(seed: int, below: int = SUBJECT_SEEDS) -> None:
    """Raises `UserError` naming the flag for a seed outside [0, below)."""
    if not 0 <= seed < below:
        raise UserError(f"--seed={seed}", expected=f"0 or more, below {'2^63' if below == IMAGE_SEEDS else below}")
