"""One patient's folder or one photograph -> a served model -> the maps, where and as `predict --input` writes them.

The whole volume goes to the server in its own intensities and comes back voxel by voxel, so a map gets the header of
the patient's first modality and lies on it. TensorFlow is not needed here, unless the connection is gRPC's.
"""

from __future__ import annotations

import dataclasses
import io
import math
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from data_prep import map_files, place, voxel_order
from data_prep.base import artefacts
from data_prep.base.errors import UserError, command
from data_prep.map_files import MAPS
from data_prep.readers import photographs
from data_prep.tasks import Task
from tfunc.serving import transport

SAMPLED = {"mutual_information": np.float32}  # sampled methods have it too
PACKED = {"prediction": "u1", "probability": "<f2", "uncertainty": "<f2", "mutual_information": "<f2"}  # `_bytes`
SUMMARY = ("predicted_volume", "expected_volume", "mean_uncertainty")  # one number a patient


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came back for one subject.

    name: of its files. maps: {map: array [depth, height, width], or [height, width] of a photograph}. header: of the
    first modality, None for a photograph. own_size: a photograph's maps at its own size, if they were asked for.
    document: what the JSON beside the maps says.
    """

    name: str
    maps: dict[str, np.ndarray]
    header: bytes | None
    own_size: dict[str, np.ndarray]
    document: dict[str, Any]


def request(
    connection: transport.Connection,
    task: Task,
    path: pathlib.Path | str,
    out_dir: pathlib.Path | str,
    full_size: bool = False,
    order: str | None = voxel_order.DISTRIBUTED,
    say: Callable[[str], object] = print,
) -> Answer:
    """Asks for one subject's maps and writes them: `<subject>_<map>.nii.gz`, and last `<subject>.json`.

    connection: of `transport.connect`. task: what the model was trained on. path: of the subject's folder or image.
    full_size: photographs, also PNG maps at their own size. order: volumes, the voxel order that the model was trained in,
    which a server doesn't tell; None sends voxels as they lie. say: called with a line for the user.
    Nothing is written before everything has come back whole. Raises `UserError` for a bad subject, and for any failure
    of the server.
    """
    path, folder = pathlib.Path(path), pathlib.Path(out_dir)
    if not path.exists():
        raise UserError(path, expected="a subject's folder or an image", found="nothing")
    _require_writable(folder)
    if task.is_photograph:
        answer = _photograph(connection, task, path, full_size, say)
    else:
        answer = _volume(connection, task, path, say, order)
    map_files.write(folder, answer.name, answer.maps, answer.header, answer.own_size)
    artefacts.write_json(folder / f"{answer.name}.json", answer.document)
    return answer


def _require_writable(folder):
    """Before minutes of waiting, and not after; makes nothing, since the request may yet fail."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(folder, expected="a folder for the maps", found=f"a file, {existing}")
    if not os.access(existing, os.W_OK):
        raise UserError(folder, expected="a folder that can be written", found=f"{existing}, which can't")


# -------------------------------------------------------------------------------------------------------------- volume


def _volume(connection, task, path, say, order):
    """A patient's `Answer`. int16 voxels travel as bytes, and float16 maps back; fractions need gRPC."""
    reader = task.load_reader()
    subject = reader.load(reader.find_one(path), {"order": order})
    if subject.permuted_note:
        say(subject.permuted_note)
    image, shape = _whole(subject.image), subject.image.shape[:3]
    packed = image.dtype == np.int16
    if not packed and not isinstance(connection, transport.Grpc):
        raise UserError(
            path,
            expected="whole numbers within int16, which REST can carry as bytes",
            found="fractions" if np.abs(image).max() < 2**15 else f"intensities up to {image.max():g}",
            do="use gRPC: --server=grpc://host:8500",
        )
    if packed:
        voxels = np.ascontiguousarray(image, "<i2").tobytes()
        signature, inputs = "subject_bytes", {"volume": [voxels], "shape": np.array([image.shape], np.int64)}
    else:
        signature, inputs = "subject", {"volume": image[np.newaxis].astype(np.float32, copy=False)}
    outputs, version = _ask(connection, signature, inputs, task, f"{image.nbytes / 1e6:.0f} MB", say)
    read = _packed if packed else _plain
    maps = read(connection, outputs, shape)
    origin, summary = (
        _origin(connection, version, signature, subject.source),
        _summary(connection, outputs, subject.header),
    )
    maps = {name: subject.restored(values) for name, values in maps.items()}
    return Answer(subject.name, maps, subject.header, {}, {**origin, **summary})


def _whole(image):
    """A float image as int16 where that changes nothing: BraTS 2023 stores whole numbers as float32."""
    if image.dtype == np.int16 or image.min() < -(2**15) or image.max() >= 2**15:
        return image
    whole = image.astype(np.int16)
    return whole if np.array_equal(whole, image) else image


def _summary(connection, outputs, header):
    """The three numbers of a patient, and the predicted volume in millilitres by the header's voxel size."""
    found = {}
    for name in SUMMARY:
        values = outputs.get(name)
        if not isinstance(values, np.ndarray) or values.shape != (1,):
            raise _wrong(connection, f"{name} for one patient", _described(values))
        found[name] = float(values[0])
        if not math.isfinite(found[name]):
            raise _wrong(connection, f"a finite {name}", f"{values[0]}")
    if found["mean_uncertainty"] < 0:  # no tumour: nothing to average over
        found["mean_uncertainty"] = None
    affine = place.of_block(header, "the patient's first modality")
    found["predicted_volume"] = int(found["predicted_volume"])
    cubic_mm = float(abs(np.linalg.det(affine[:3, :3])))
    return {**found, "predicted_volume_ml": round(found["predicted_volume"] * cubic_mm / 1000, 3)}


# --------------------------------------------------------------------------------------------------------------- photograph


def _photograph(connection, task, path, full_size, say):
    """A photograph's `Answer`: maps at network size and, if asked for, at its own."""
    source = task.load_reader().find_one(path)
    photograph = photographs.read_photograph(source.image)  # the checks; what is sent are the file's own bytes
    encoded = _as_png(photograph) if path.suffix.lower() == ".bmp" else path.read_bytes()
    inputs, size = {"images": [encoded]}, f"{len(encoded) / 1e6:.1f} MB"
    outputs, version = _ask(connection, "encoded", inputs, task, size, say)
    found = outputs.get("probability")
    if not isinstance(found, np.ndarray) or found.ndim != 3:
        raise _wrong(connection, "probability of shape (1, height, width)", _described(found))
    maps = _plain(connection, outputs, found.shape[1:])
    own_size = {}
    if full_size:
        outputs, _ = _ask(connection, "encoded_full", inputs, task, size, say)
        own_size = _plain(connection, outputs, photograph.shape[:2])
    return Answer(source.name, maps, None, own_size, _origin(connection, version, "encoded", source.image))


def _as_png(photograph):
    """TensorFlow's servers are sure to read JPEG and PNG, and PNG loses nothing."""
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(buffer, "png")
    return buffer.getvalue()


# --------------------------------------------------------------------------------------------------------------- both


def _ask(connection, signature, inputs, task, size, say):
    """(outputs, version of the model that gave them); `UserError` for a model that cannot be meant."""
    version, signatures = connection.describe()
    if signature not in signatures:
        raise UserError(
            f"{connection.name}, model {connection.model}",
            expected=("a model of ", command("export", dataset=task.name), f", with the signature {signature}"),
            found=", ".join(sorted(signatures)) or "no signatures",
            do="check --model and --dataset",
        )
    say(f"{connection.name}, model {connection.model}, version {version}: sending {size}, then waiting for the maps")
    return connection.predict(signature, inputs), version


def _origin(connection, version, signature, source):
    return {
        "server": connection.name,
        "model": connection.model,
        "version": version,
        "signature": signature,
        "source": str(source),
    }


def _plain(connection, outputs, shape):
    """Maps of `shape` from arrays [1, *shape]."""
    maps = {}
    for name, dtype in _expected(outputs, "").items():
        values = outputs.get(name)
        if not isinstance(values, np.ndarray) or values.shape != (1, *shape):
            raise _wrong(connection, f"{name} of shape {(1, *shape)}", _described(values))
        maps[name] = _checked(connection, name, values[0].astype(dtype))
    return maps


def _packed(connection, outputs, shape):
    """Maps of `shape` from one string of little-endian bytes each."""
    maps = {}
    for name, dtype in _expected(outputs, "_bytes").items():
        values, packed = outputs.get(f"{name}_bytes"), np.dtype(PACKED[name])
        size = math.prod(shape) * packed.itemsize
        if not isinstance(values, list) or [len(each) for each in values] != [size]:
            raise _wrong(connection, f"{name}_bytes of {size} bytes", _described(values))
        maps[name] = _checked(connection, name, np.frombuffer(values[0], packed).reshape(shape).astype(dtype))
    return maps


def _expected(outputs, ending):
    return MAPS if f"mutual_information{ending}" not in outputs else {**MAPS, **SAMPLED}


def _checked(connection, name, values):
    if name == "prediction" and values.max() > 1:
        raise _wrong(connection, "a prediction of 0 and 1", f"{values.max()}")
    if not np.isfinite(values).all():
        raise _wrong(connection, f"finite {name}", f"{np.count_nonzero(~np.isfinite(values))} voxels that are not")
    return values


def _wrong(connection, expected, found):
    do = ("serve a model of ", command("export"), " of this version")
    return UserError(f"{connection.name}, model {connection.model}", expected=expected, found=found, do=do)


def _described(values):
    if isinstance(values, np.ndarray):
        return f"shape {values.shape}"
    return "none" if values is None else f"strings of {', '.join(str(len(each)) for each in values[:3])} bytes"
