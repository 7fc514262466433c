"""Small folders of one's own data in the forms that are read: nnU-Net's, the Decathlon's, and photographs with masks."""

import json

import nibabel
import numpy as np
from PIL import Image

SHAPE = (5, 12, 10)  # depth, height, width
AFFINE = np.diag([-1.5, -1.5, 4.0, 1.0])
LABELS = {"background": 0, "liver": 1, "tumour": 2}


def write_volume(path, array, affine=AFFINE):
    """[depth, height, width] or [channels, depth, height, width] as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array.T, affine), path)


def write_picture(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_json(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")


def intensities(seed, shape=SHAPE):
    return np.random.default_rng(seed).integers(-900, 900, shape).astype(np.int16)


def labels(shape=SHAPE, values=(1, 2)):
    array = np.zeros(shape, np.uint8 if max(values) < 256 else np.uint16)
    for index, value in enumerate(values):
        array[..., 2 + 2 * index : 4 + 2 * index, 3:7] = value
    return array


def described(channels=("CT",), names=LABELS, training=3, **more):
    numbered = {str(index): name for index, name in enumerate(channels)}
    return {"channel_names": numbered, "labels": dict(names), "numTraining": training, "file_ending": ".nii.gz", **more}


def nnunet(folder, channels=("CT",), cases=3, new=1, values=(1, 2), **more):
    """A folder of volumes in nnU-Net's raw form; returns it."""
    write_json(folder / "dataset.json", described(channels, training=cases, **more))
    for index in range(cases + new):
        part, name = ("Tr", f"case_{index:02d}") if index < cases else ("Ts", f"new_{index:02d}")
        for channel in range(len(channels)):
            write_volume(folder / f"images{part}" / f"{name}_{channel:04d}.nii.gz", intensities(10 * index + channel))
        if index < cases:
            write_volume(folder / "labelsTr" / f"{name}.nii.gz", labels(values=values))
    return folder


def decathlon(folder, channels=("FLAIR", "T1w"), cases=3):
    """A folder in the Decathlon's form, all channels of a case in one file; returns it."""
    training = []
    for index in range(cases + 1):
        part = "Tr" if index < cases else "Ts"
        arrays = [intensities(10 * index + channel) for channel in range(len(channels))]
        write_volume(folder / f"images{part}" / f"C_{index}.nii.gz", np.stack(arrays) if len(arrays) > 1 else arrays[0])
        if index < cases:
            write_volume(folder / "labelsTr" / f"C_{index}.nii.gz", labels())
            training.append({"image": f"./imagesTr/C_{index}.nii.gz", "label": f"./labelsTr/C_{index}.nii.gz"})
    document = {
        "modality": {str(index): name for index, name in enumerate(channels)},
        "labels": {str(number): name for name, number in LABELS.items()},
        "numTraining": cases,
        "training": training,
        "test": [f"./imagesTs/C_{cases}.nii.gz"],
    }
    write_json(folder / "dataset.json", document)
    return folder


def colours(seed, size=(32, 48)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


def pairs(folder, values=(128, 255), cases=3, size=(32, 48), suffix=""):
    """A folder of photographs and masks; returns it."""
    for index in range(cases):
        write_picture(folder / "images" / f"eye {index}.jpg", colours(index, size))
        write_picture(folder / "masks" / f"eye {index}{suffix}.png", labels(size, values))
    return folder
