"""Files of images, labels and tables, and what a server answers: damaged in their headers, their packing and their bytes."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import io
import json
import pathlib
import struct
import unittest.mock
import zlib

import hypothesis.strategies as st
import numpy as np
import whole_inputs
from harness import Target
from mutations import bomb, bytes_of, fields_of, json_of
from PIL import Image

from data_prep import patients, tables, tasks, tf_example
from data_prep.readers import cases, labels, name_mapping, nifti, nifti_header, own_volumes, photographs
from tfunc.scoring import npz, triage
from tfunc.serving import answers, described, transport

# offsets in a NIfTI-1 header -> struct's code
NIFTI = {
    0: "i", **{40 + 2 * index: "h" for index in range(8)}, 70: "h", 72: "h", **{76 + 4 * index: "f" for index in range(8)},
    108: "f", 112: "f", 116: "f", 123: "b", 252: "h", 254: "h", **{256 + 4 * index: "f" for index in range(18)}, 344: "i",
}  # fmt: skip


def all_of(place: pathlib.Path) -> list[Target]:
    """The targets, as `targets_documents.all_of`."""
    return [*_volumes(place), *_photographs(place), *_packed(place), *_tables(place), *_answers()]


def _file(path: pathlib.Path, act):
    path.parent.mkdir(parents=True, exist_ok=True)

    def one(given):
        path.write_bytes(given)
        return act(path)

    return one


def _volumes(place):
    raw = whole_inputs.folders(place)["nnunet"]
    image = gzip.decompress((raw / "imagesTr" / "case_00_0000.nii.gz").read_bytes())
    label = gzip.decompress((raw / "labelsTr" / "case_00.nii.gz").read_bytes())
    folder = place / "damaged" / "volumes"

    def read(path):
        return own_volumes.read(cases.Source("a", (str(path),)), 1)

    def segmented(path):
        header = nifti.read_header(path)
        return labels.whole(nifti.read_array(header), path)

    def four(path):
        return nifti.read_map(path, dimensions=(2, 3, 4))

    yield Target("NIfTI: fields", fields_of(image, NIFTI), _file(folder / "a.nii.gz", read))
    yield Target("NIfTI: fields of a map", fields_of(label, NIFTI), _file(folder / "d.nii.gz", four))
    squeezed = gzip.compress(image, 1), gzip.compress(label, 1), image
    yield Target("NIfTI: bytes and gzip", bytes_of(*squeezed), _file(folder / "b.nii.gz", read))
    yield Target("NIfTI: a label", bytes_of(label, gzip.compress(label, 1)), _file(folder / "c.nii.gz", segmented))
    large = bytearray(image)
    struct.pack_into("<7h", large, 42, 800, 800, 800, 1, 1, 1, 1)
    bombs = [bomb(image, 1 << 24), bomb(bytes(large), 1 << 24), gzip.compress(bytes(1 << 26)), bomb(image, 1 << 26) * 2]
    yield Target("NIfTI: bombs", bytes_of(*bombs), _file(folder / "e.nii.gz", read))

    def of_several(given):
        """With a budget that they pass, in files that each are small."""
        files = [folder / "several" / f"{index}.nii.gz" for index in range(len(given))]
        for path, content in zip(files, given, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        with unittest.mock.patch.object(nifti_header, "MOST_OF_SUBJECT", 1 << 26):
            return own_volumes.read(cases.Source("a", tuple(map(str, files))), len(files))

    sizes = [(256, 256, 256), (300, 400, 400), (32000, 40, 40), (12, 10, 5)]
    several = st.lists(st.sampled_from([_zeros(image, size) for size in sizes]), min_size=1, max_size=6)
    yield Target("NIfTI: many large files of a subject", several | several.map(lambda files: files[:1] * 4), of_several)


def _zeros(image, size):
    """A whole NIfTI file of int16 zeros of that size, gzipped: a thousandth of what it holds."""
    head = bytearray(image[:352])
    struct.pack_into("<8h", head, 40, 3, *size, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, 4, 16)
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    pieces, left = [packer.compress(bytes(head))], 2 * int(np.prod(size))
    while left > 0:
        pieces.append(packer.compress(bytes(min(left, 1 << 22))))
        left -= 1 << 22
    return b"".join([*pieces, packer.flush()])


def _photographs(place):
    rng, folder = np.random.default_rng(0), place / "damaged" / "photographs"
    colours = Image.fromarray(rng.integers(0, 256, (24, 32, 3)).astype(np.uint8))
    grey = Image.fromarray((rng.integers(0, 2, (24, 32)) * 255).astype(np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (24, 32)).astype(np.uint16))
    palette = colours.convert("P")

    def both(path):
        for act in (photographs.read_photograph, photographs.read_mask, photographs.read_labels, photographs.read_grey):
            try:
                act(path)
            except photographs.UserError as error:
                said = error
                continue
            said = None
        photographs.size(path)
        photographs.say_if_turned(path)
        if said:
            raise said

    for kind, ending in (("JPEG", "jpg"), ("PNG", "png"), ("BMP", "bmp"), ("TIFF", "tif")):
        images = [colours, grey] if kind in ("JPEG", "BMP") else [colours, grey, deep, palette]
        yield Target(kind, bytes_of(*(_saved(image, kind) for image in images)), _file(folder / f"a.{ending}", both))
    yield Target("PNG: fields", fields_of_png(_saved(grey, "PNG")), _file(folder / "b.png", both))


def _saved(image, kind):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def fields_of_png(whole):
    """The header of a PNG with other sizes, depths and colours, its checksum right again."""

    def made(values):
        width, height, depth, colour, other = values
        head = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, *other)
        return whole[:12] + head + struct.pack(">I", zlib.crc32(head)) + whole[33:]

    sizes = st.sampled_from([0, 1, 24, 32, 65535, 2**16, 2**20, 2**31 - 1, 2**32 - 1])
    bits = st.sampled_from([0, 1, 2, 4, 8, 16, 255])
    return st.tuples(sizes, sizes, bits, st.integers(0, 7), st.tuples(*[st.integers(0, 2)] * 3)).map(made)


def _packed(place):
    folder = place / "damaged" / "packed"
    probabilities = np.full((2, 5, 12, 10), 0.5, np.float32)
    plain, squeezed, softmax = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(plain, probabilities=probabilities)
    np.savez_compressed(squeezed, probabilities=probabilities)
    np.savez(softmax, softmax=probabilities.astype(np.float16))
    files = [file.getvalue() for file in (plain, squeezed, softmax)]
    yield Target(
        "npz of nnU-Net", bytes_of(*files), _file(folder / "a.npz", lambda path: (npz.shape(path), npz.read(path)))
    )

    def headed(text):
        file = io.BytesIO()
        import zipfile

        head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("probabilities.npy", head + bytes(4800))
        return file.getvalue()

    shapes = st.sampled_from(
        ["(2, 5, 12, 10)", "()", "(-1, 5)", f"({2**40}, 2)", "(2, 5, 12, 10**9)", "(100000, 100000)", "'x'"]
    )
    kinds = st.sampled_from(["<f4", "|O", "<f8", ">f2", "<U10", "<c8", "|V4", "[('a', 'f4')]", "|b1"])
    texts = st.tuples(shapes, kinds, st.sampled_from(["False", "True", "None"])).map(
        lambda t: f"{{'descr': '{t[1]}', 'fortran_order': {t[2]}, 'shape': {t[0]}, }}\n"
    )
    yield Target(
        "npz: headers", texts.map(headed), _file(folder / "b.npz", lambda path: (npz.shape(path), npz.read(path)))
    )
    records = b"".join(piece for text in (b"one", b"two" * 100) for piece in tf_example.framed(text))

    def frames(path):
        with open(path, "rb") as file:
            try:
                return list(tf_example.records(file))
            except ValueError:  # its callers' to tell
                return None

    yield Target("TFRecord: frames", bytes_of(records), _file(folder / "c.tfrecord", frames))


def _tables(place):
    folder, names = place / "damaged" / "tables", [f"case_{index:02d}" for index in range(3)]
    text = "subject;patient_id\n" + "".join(f"{name};P{index // 2}\n" for index, name in enumerate(names))
    wholes = [
        text.encode(),
        text.replace(";", ",").encode("utf-16"),
        ("sep=;\r\n" + text).encode("cp1252"),
        text.encode("utf-8-sig"),
    ]
    yield Target(
        "table of patients",
        bytes_of(*wholes),
        _file(folder / "a.csv", lambda path: patients.known(names, folder, path)),
    )

    def beside(path):
        return patients.known(names, folder)

    yield Target("table beside the data", bytes_of(*wholes), _file(folder / "b.csv", beside))
    grades = "Grade,BraTS_2019_subject_ID,BraTS_2020_subject_ID\n" + "".join(f"HGG,NA,{name}\n" for name in names)
    yield Target(
        "name_mapping.csv",
        bytes_of(grades.encode()),
        _file(folder / "name_mapping.csv", lambda path: name_mapping.grades([path], names)),
    )
    yield Target("any table", st.binary(max_size=300), _file(folder / "c.csv", tables.rows))
    yield Target(
        "any text as a table",
        st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")),
        _file(folder / "d.csv", tables.rows),
    )


class Answering(transport.Rest):
    """A connection whose server answers what it is given."""

    def __init__(self, texts):
        super().__init__(transport.urllib.parse.urlsplit("http://a:1"), 1, "m", None, 1.0)
        self.texts = list(texts)

    def _exchange(self, verb, url, body):
        text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        return (400 if b"error" in text[:20] else 200), text.decode("utf-8", "replace")


def _answers():
    task = tasks.TASKS["isic"]
    signatures = {
        "signature_def": {"signature_def": {"describe": {"inputs": {"request": {}}}, "image": {"inputs": {"a": {}}}}}
    }
    metadata = {"model_spec": {"name": "m", "version": "1"}, "metadata": signatures}

    def describe(given):
        return Answering([given]).describe()

    yield Target("answer: metadata", json_of(metadata), describe)

    def served(given):
        told = json.dumps({"outputs": {"task": [given.decode("utf-8", "replace")]}}).encode()
        found = described.served(Answering([json.dumps(metadata).encode(), told]))
        assert found.task.values and found.speaks

    yield Target("answer: a task", json_of(task.document(), tasks.TASKS["brats"].document()), served)
    said = {"kind": "probability", "made_by": "m", "review": {"fits": {"whole": whole_inputs.fit()}, "failure": 0.7}}

    def judged(given):
        told = {"task": [json.dumps(task.document())], "description": [given.decode("utf-8", "replace")]}
        found = described.served(Answering([json.dumps(metadata).encode(), json.dumps({"outputs": told}).encode()]))
        known = found.known or triage.Known()
        for name in known.fits:
            json.dumps(dataclasses.asdict(triage.judge(known, name, {"top": 0.3}, 5)), allow_nan=False)

    yield Target("answer: a description", json_of(said), judged)
    maps = {name: np.zeros((1, 1, 4, 5)).tolist() for name in ("prediction", "probability", "uncertainty")}
    numbers = {"predicted_volume": [1], "expected_volume": [1.5], "mean_uncertainty": [0.5]}

    def predicted(given):
        connection = Answering([given])
        outputs = connection.predict("maps", {"image": np.zeros((1, 2))})
        found = answers.plain(connection, outputs, (1, 4, 5), task)
        answers.document(answers.summary(connection, outputs, task), task, 1.0)
        return answers.measured(found, task)

    yield Target("answer: maps", json_of({"outputs": {**maps, **numbers}}, {"error": "x"}), predicted)

    def packed(given):
        connection = Answering([given])
        return answers.packed(connection, connection.predict("maps", {"image": [b"a"]}), (1, 4, 5), task)

    encoded = {
        f"{name}_bytes": [{"b64": base64.b64encode(bytes(20 if name == "prediction" else 40)).decode()}]
        for name in maps
    }
    yield Target("answer: packed maps", json_of({"outputs": encoded}), packed)
