"""A DICOM series as a volume: geometry and values are SimpleITK's, dcm2niix's and highdicom's; what is wrong is said."""

import pathlib
import shutil
import subprocess
import sys

import dicom_files as made_up
import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLossless, JPEGLSLossless, RLELossless

from data_prep.base.errors import UserError
from data_prep.readers import dicom_file, dicom_series, nifti

KINDS = {
    "axial CT": (made_up.AXIAL, False, np.int16, (1, -1024)),
    "sagittal, backwards, unsigned": (made_up.SAGITTAL, True, np.uint16, (1, -1024)),
    "coronal, bytes, slope": (made_up.CORONAL, False, np.uint8, (2, 0)),
    "oblique, backwards, fractions": (made_up.OBLIQUE, True, np.int16, (0.5, -3.25)),
    "without rescale": (made_up.AXIAL, True, np.uint16, None),
}


def volume(folder):
    """(values [depth, height, width], affine) of the series in a folder, or of one file."""
    files = sorted(map(str, folder.iterdir())) if folder.is_dir() else [str(folder)]
    header = dicom_series.header(files)
    return nifti.read_array(header), header.affine


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request, tmp_path_factory):
    """(folder, the numbers stored, slope and intercept) of one kind of series."""
    directions, backwards, dtype, rescale = KINDS[request.param]
    folder = tmp_path_factory.mktemp("series") / "a"
    array = made_up.stored(1, dtype=dtype, high=min(3000, np.iinfo(dtype).max))
    made_up.series(folder, array, directions, backwards=backwards, rescale=rescale)
    return folder, array, rescale or (1, 0)


def test_values_and_order(kind):
    """Slices lie along the normal, whatever their files are called; slope and intercept are applied."""
    folder, array, (slope, intercept) = kind
    found, _ = volume(folder)
    np.testing.assert_array_equal(found, array.astype(np.float64) * slope + intercept)
    assert found.dtype == (np.int32 if float(slope).is_integer() else np.float32)


def test_simpleitk_reads_the_same(kind):
    """Array and affine, its directions from left and back to right and front."""
    sitk = pytest.importorskip("SimpleITK")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(kind[0])))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    affine[:2] *= -1
    found, ours = volume(kind[0])
    np.testing.assert_array_equal(found, sitk.GetArrayFromImage(image))
    np.testing.assert_allclose(ours, affine, atol=1e-5)


def test_dcm2niix_reads_the_same(kind, tmp_path):
    """Once both lie in one order of voxels."""
    pytest.importorskip("dcm2niix")
    program = pathlib.Path(sys.executable).with_name("dcm2niix")
    command = [program, "-b", "n", "-z", "n", "-f", "a", "-o", tmp_path, kind[0]]
    subprocess.run(command, check=True, capture_output=True)
    found, affine = volume(kind[0])
    ours = nibabel.as_closest_canonical(nibabel.Nifti1Image(found.astype(np.float32).T, affine))
    theirs = nibabel.as_closest_canonical(nibabel.load(tmp_path / "a.nii"))
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-4)
    np.testing.assert_allclose(ours.get_fdata(), theirs.get_fdata(), atol=1e-4)


@pytest.mark.parametrize("order", [range(5), [2, 0, 1, 4, 3]])
def test_a_multi_frame_file_is_its_series(tmp_path, order):
    """Frames in any order; equal to the single images and to what highdicom makes of the file."""
    highdicom = pytest.importorskip("highdicom")
    array = made_up.stored(3)
    file = made_up.enhanced(tmp_path / "multi" / "a.dcm", array, made_up.OBLIQUE, order=list(order))
    found, affine = volume(file)
    single, place = volume(made_up.series(tmp_path / "single", array, made_up.OBLIQUE))
    np.testing.assert_array_equal(found, single)
    np.testing.assert_allclose(affine, place, atol=1e-5)
    ours = nibabel.as_closest_canonical(nibabel.Nifti1Image(found.astype(np.float32).T, affine))
    theirs = highdicom.imread(file).get_volume().to_patient_orientation("RAH")
    np.testing.assert_array_equal(ours.get_fdata(), theirs.array)


def test_copies_and_numbers_without_endings(tmp_path):
    """An image that is there twice is one; names need no ending."""
    folder = made_up.series(tmp_path / "a", ending="")
    shutil.copy(folder / "IM0001", folder / "again")
    found, _ = volume(folder)
    np.testing.assert_array_equal(found, made_up.stored().astype(int) - 1024)


def test_rounded_positions_are_even(tmp_path):
    """Scanners that write tenths of a millimetre at a distance of 0.625 are believed."""

    def tenths(index, image):
        image.ImagePositionPatient = [0, 0, round(0.625 * index, 1)]

    folder = made_up.series(tmp_path / "a", made_up.stored(shape=(41, 4, 4)), change=tenths)
    assert volume(folder)[1][2, 2] == pytest.approx(0.625, abs=1e-3)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_packed_pixels(tmp_path, syntax):
    """Those that the extra itself decodes."""
    folder = made_up.series(tmp_path / "a")
    for path in folder.iterdir():
        image = made_up.read(path)
        image.compress(syntax)
        image.save_as(path)
    np.testing.assert_array_equal(volume(folder)[0], made_up.stored().astype(int) - 1024)


def leave_out(wanted):
    return lambda index, image: index != wanted


def at_places(places):
    def moved(index, image):
        image.ImagePositionPatient = [0, 0, places[index]]

    return moved


def tilted(index, image):
    image.ImagePositionPatient = [0, 0.8 * index, 4.0 * index]


def joined(index, image):
    image.ImagePositionPatient = [20 * (index in (1, 2)), 0, 4.0 * index]


def other(name, value, at=2):
    def changed(index, image):
        if index == at:
            setattr(image, name, value)

    return changed


def of_all(**entries):
    def changed(index, image):
        for name, value in entries.items():
            if value is None:
                delattr(image, name)
            else:
                setattr(image, name, value)

    return changed


WRONG = {
    "a slice missing": (
        leave_out(2),
        r"series 3 'Thorax 1.0': expected slices at even distances, 4 mm.*1 slice missing",
    ),
    "uneven": (at_places([0, 4, 8, 13, 17]), "IM0003.dcm and IM0004.dcm are 5 mm apart; resample"),
    "tilted": (tilted, r"straight above each other, found a tilt of 11\.3 degrees"),
    "joined": (joined, r"straight above each other, found IM0002\.dcm, 20 mm beside the first; give one station"),
    "time points": (at_places([0, 0, 4, 4, 8]), "expected one image at each place, found several at 2 of 3"),
    "all twice": (at_places([0, 0, 0, 0, 0]), "expected one image at each place, found 5 at each of 1"),
    "another direction": (
        other("ImageOrientationPatient", [1, 0, 0, 0, 0, -1]),
        "slices 90 degrees apart; a localizer",
    ),
    "another spacing": (
        other("PixelSpacing", [1, 1]),
        r"IM0003\.dcm: expected slices of one PixelSpacing, 1\.25x0\.75",
    ),
    "no place": (of_all(ImagePositionPatient=None), "an entry ImagePositionPatient of 3 numbers, found none"),
    "no spacing": (of_all(PixelSpacing=None), "an entry PixelSpacing of 2 numbers"),
    "spacing 0": (of_all(PixelSpacing=[0, 1]), "PixelSpacing above 0"),
    "slope 0": (of_all(RescaleSlope=0), "RescaleSlope that is not 0"),
    "no direction": (of_all(ImageOrientationPatient=[0, 0, 0, 0, 0, 0]), "two perpendicular directions"),
    "colours": (of_all(PhotometricInterpretation="RGB", SamplesPerPixel=3), r"a grey image \(MONOCHROME\), found RGB"),
    "a mosaic": (of_all(ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]), "a mosaic of slices"),
    "huge": (of_all(Rows=65535, Columns=65535), "at most 67108864 pixels a slice"),
    "no pixels": (of_all(PixelData=None), "bytes of pixels|no pixels"),
    "of too few pixels": (of_all(Rows=4000), "bytes of pixels, found a file of"),
    "frames without places": (of_all(NumberOfFrames=3), "a place for each frame, found 3 frames without"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_what_is_wrong_is_one_line(tmp_path, name):
    """It names the series, or the file."""
    change, match = WRONG[name]
    folder = made_up.series(tmp_path / "a", change=change)
    with pytest.raises(UserError, match=match) as caught:
        volume(folder)
    assert made_up.NAME not in str(caught.value) and made_up.ID not in str(caught.value)


def test_two_images_of_one_uid(tmp_path):
    """Of which it is not known which to take."""
    folder = made_up.series(tmp_path / "a", change=of_all(SOPInstanceUID="1.2.3"))
    with pytest.raises(UserError, match=r"each image once, found IM0001\.dcm and IM0002\.dcm"):
        volume(folder)


def test_sizes_differ(tmp_path):
    """Said with both."""
    folder = made_up.series(tmp_path / "a")
    made_up.series(tmp_path / "b", made_up.stored(shape=(1, 8, 8)))
    shutil.copy(tmp_path / "b" / "IM0001.dcm", folder / "IM0000.dcm")
    image = made_up.read(folder / "IM0000.dcm")
    image.SOPInstanceUID = "1.2.3"
    image.save_as(folder / "IM0000.dcm")
    with pytest.raises(UserError, match="slices of one size, 8x8, found 10x12"):
        volume(folder)


def test_one_image_is_no_volume(tmp_path):
    """There is no distance between slices."""
    with pytest.raises(UserError, match="slices of a volume, found one image"):
        volume(made_up.series(tmp_path / "a", made_up.stored(shape=(1, 8, 8))))


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"", "a whole DICOM file"), (b"text" * 99, "a whole DICOM file"), (bytes(128) + b"DICM", "a transfer syntax of")],
)
def test_files_that_are_none(tmp_path, content, match):
    """Empty, of something else, and cut off behind its first mark."""
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(UserError, match=match):
        dicom_file.facts(tmp_path / "a.dcm")


def test_a_file_cut_off(tmp_path):
    """In its pixels and in its entries: no half of a slice is taken."""
    folder = made_up.series(tmp_path / "a")
    whole = (folder / "IM0002.dcm").read_bytes()
    for length in (len(whole) - 10, 700, 400, 200):
        (folder / "IM0002.dcm").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"IM0002|even distances|series"):
            volume(folder)


def test_deflated_files_and_unknown_decoders(tmp_path):
    """The first may hold a thousand times their size; of the second the transfer syntax is named."""
    folder = made_up.series(tmp_path / "a")
    image = made_up.read(folder / "IM0001.dcm")
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    image.save_as(tmp_path / "deflated.dcm")
    with pytest.raises(UserError, match="found a deflated one"):
        dicom_file.facts(tmp_path / "deflated.dcm")
    for path in folder.iterdir():
        image = made_up.read(path)
        image.file_meta.TransferSyntaxUID = JPEGLossless
        image.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
        image["PixelData"].is_undefined_length = True
        image.save_as(path)
    with pytest.raises(UserError, match=r"pixels that can be decoded, found JPEG Lossless.*; decompress the series"):
        volume(folder)


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    """One line, as of every extra."""
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UserError, match=r"pip install 'tfunc\[dicom\]'"):
        dicom_file.facts("a.dcm")
