"""Series of DICOM images that tests make up, with pydicom: any orientation, order, number type, and all that can be wrong."""

import pathlib

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
SHAPE, SPACING = (5, 12, 10), (1.25, 0.75, 4.0)  # depth, height, width; between rows, columns and slices in mm
NAME, ID = "Doe^Jane", "ID-4711"  # must be found in no file of ours but the segmentation
AXIAL = ((1, 0, 0), (0, 1, 0))
SAGITTAL = ((0, 1, 0), (0, 0, -1))
CORONAL = ((1, 0, 0), (0, 0, -1))


def _turned(first, second, degrees):
    """Two directions turned about x and then z."""
    one, other = np.radians(degrees), np.radians(degrees / 2)
    about_x = np.array([[1, 0, 0], [0, np.cos(one), -np.sin(one)], [0, np.sin(one), np.cos(one)]])
    about_z = np.array([[np.cos(other), -np.sin(other), 0], [np.sin(other), np.cos(other), 0], [0, 0, 1]])
    return tuple(map(tuple, (about_z @ about_x @ np.array([first, second]).T).T))


OBLIQUE = _turned(*AXIAL, 20)


def stored(seed=0, shape=SHAPE, dtype=np.int16, low=0, high=2000):
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def uid(*parts):
    return generate_uid(entropy_srcs=[str(part) for part in parts])


def patient(
    number=ID, name=NAME, modality="CT", study="study", series="series", description="Thorax 1.0", series_number=3
):
    """The entries that all images of a series share."""
    made = Dataset()
    made.PatientID, made.PatientName, made.PatientBirthDate, made.PatientSex = number, name, "19700101", "O"
    made.StudyInstanceUID, made.SeriesInstanceUID = uid(number, study), uid(number, study, series)
    made.FrameOfReferenceUID = uid(number, study, "frame")
    made.StudyDate = made.SeriesDate = made.ContentDate = "20200102"
    made.StudyTime = made.SeriesTime = made.ContentTime = "101112"
    made.StudyID, made.AccessionNumber, made.ReferringPhysicianName = "1", "", ""
    made.Manufacturer, made.ManufacturerModelName, made.SoftwareVersions = "Made up", "None", "0"
    made.DeviceSerialNumber, made.PatientPosition, made.BodyPartExamined = "0", "HFS", "CHEST"
    made.Modality, made.SeriesDescription, made.SeriesNumber = modality, description, series_number
    made.PositionReferenceIndicator, made.Laterality, made.PatientOrientation = "", "", ""
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    return made


def pixels(made, array):
    """Puts an array [height, width] or [frames, height, width] into an image."""
    made.Rows, made.Columns = array.shape[-2:]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8 * array.dtype.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsAllocated - 1, int(array.dtype.kind == "i")
    made.PixelData = array.tobytes()
    if array.ndim == 3:
        made.NumberOfFrames = len(array)


def save(path, made, sop=CT, syntax=ExplicitVRLittleEndian):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop, made.SOPInstanceUID
    meta.TransferSyntaxUID, meta.ImplementationClassUID = syntax, uid("tests")
    made.SOPClassUID = sop
    file = FileDataset(str(path), made, file_meta=meta, preamble=bytes(128))
    file.save_as(path, enforce_file_format=True)
    return path


def position(index, directions=AXIAL, spacing=SPACING, start=(-50.0, -60.0, 20.0)):
    return [float(x) for x in np.array(start) + np.cross(*directions) * spacing[2] * index]


def series(
    folder, array=None, directions=AXIAL, spacing=SPACING, rescale=(1, -1024), backwards=False, ending=".dcm", sop=CT,
    change=None, **who,
):  # fmt: skip
    """A folder of single images; returns it. change: called with (index, image) before it is saved; False leaves it out.

    backwards: file names and instance numbers run against the places of the slices.
    """
    folder = pathlib.Path(folder)
    array = stored() if array is None else array
    for index, values in enumerate(array):
        made = patient(**who)
        made.SOPInstanceUID = uid(made.SeriesInstanceUID, index)
        number = len(array) - index if backwards else index + 1
        made.InstanceNumber = number
        made.ImagePositionPatient = [round(x, 6) for x in position(index, directions, spacing)]
        made.ImageOrientationPatient = [round(float(x), 8) for x in (*directions[0], *directions[1])]
        made.PixelSpacing, made.SliceThickness = list(spacing[:2]), 99.0  # nobody may believe it
        if rescale is not None:
            made.RescaleSlope, made.RescaleIntercept = rescale
        pixels(made, np.ascontiguousarray(values))
        if change is None or change(index, made) is not False:
            save(folder / f"IM{number:04d}{ending}", made, sop)
    return folder


def _in(*, frame=None, **entries):
    item = Dataset()
    for name, value in entries.items():
        setattr(item, name, value)
    return Sequence([item])


def enhanced(path, array=None, directions=AXIAL, spacing=SPACING, rescale=(1, -1024), order=None, **who):
    """One multi-frame file; `order` says at which place each frame lies. Returns the path."""
    array = stored() if array is None else array
    order = range(len(array)) if order is None else order
    made = patient(**who)
    made.SOPInstanceUID, made.InstanceNumber = uid(made.SeriesInstanceUID, "enhanced"), 1
    shared = Dataset()
    shared.PixelMeasuresSequence = _in(PixelSpacing=list(spacing[:2]), SliceThickness=99.0)
    directions_of = [round(float(x), 8) for x in (*directions[0], *directions[1])]
    shared.PlaneOrientationSequence = _in(ImageOrientationPatient=directions_of)
    transformed = {"RescaleSlope": rescale[0], "RescaleIntercept": rescale[1], "RescaleType": "HU"}
    shared.PixelValueTransformationSequence = _in(**transformed)
    made.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for place in order:
        frame = Dataset()
        frame.PlanePositionSequence = _in(
            ImagePositionPatient=[round(x, 6) for x in position(place, directions, spacing)]
        )
        frame.FrameContentSequence = _in(
            StackID="1", InStackPositionNumber=place + 1, DimensionIndexValues=[1, place + 1]
        )
        frames.append(frame)
    made.PerFrameFunctionalGroupsSequence = Sequence(frames)
    pixels(made, np.ascontiguousarray(array[list(order)]))
    return save(path, made, ENHANCED_CT)


def read(path):
    return pydicom.dcmread(path)
