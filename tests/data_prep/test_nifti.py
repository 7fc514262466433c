"""NIfTI in and out: maps lie exactly on their source, and no file can make us allocate or guess."""

import gzip
import struct

import nibabel
import numpy as np
import pytest

from data_prep import place, voxel_order
from data_prep.base import notices
from data_prep.base.errors import UserError
from data_prep.readers import nifti

SHAPE = (7, 9, 5)  # x, y, z: odd and all different


def oblique(scale=(0.9, 1.1, 2.5), origin=(-81.3, 40.25, -12.0)):
    a, b = 0.3, -0.2
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn @ tilt * scale, origin
    return affine


def voxels(dtype=np.int16, shape=SHAPE):
    return np.random.default_rng(0).integers(0, 1000, shape).astype(dtype)


def save(path, array, affine=None, codes=(1, 1), change=None, kind=nibabel.Nifti1Image, endianness="<"):
    header = kind.header_class(endianness=endianness)
    header.set_data_dtype(array.dtype)
    image = kind(array, None, header)
    affine = oblique() if affine is None else affine
    image.set_sform(affine, codes[0])
    image.set_qform(affine, codes[1])
    if change:
        change(image.header)
    nibabel.save(image, path)
    return path


def raw_header(path, **fields):
    """A bare NIfTI-1 header of our choosing, gzipped by the name; 4 bytes follow it, but no voxels."""
    header = nibabel.Nifti1Header(endianness="<")
    header["magic"], header["vox_offset"], header["sform_code"] = b"n+1", 352, 1
    header["srow_x"], header["srow_y"], header["srow_z"] = np.eye(4)[:3]
    header["dim"][:4] = (3, 4, 4, 4)
    for name, value in fields.items():
        if isinstance(value, tuple):
            header[name][: len(value)] = value
        else:
            header[name] = value
    data = header.binaryblock + bytes(4)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("codes", [(1, 1), (4, 1), (0, 1), (2, 0)])
def test_map_round_trip(tmp_path, ending, codes):
    """A map written with the source's header has its affine, forms and codes, and reads back bit-exact."""
    source = save(tmp_path / f"source{ending}", voxels(), codes=codes)
    header = nifti.read_header(source)
    map_zyx = np.random.default_rng(1).random(SHAPE[::-1], np.float32)
    nifti.write_map(tmp_path / f"map{ending}", map_zyx, header.block)

    theirs, ours = nibabel.load(source), nibabel.load(tmp_path / f"map{ending}")
    np.testing.assert_array_equal(np.asarray(ours.dataobj), map_zyx.T)
    assert ours.get_data_dtype() == np.float32
    np.testing.assert_array_equal(ours.affine, theirs.affine)
    for form in ("get_sform", "get_qform"):
        (mine, code), (its, its_code) = (getattr(image.header, form)(coded=True) for image in (ours, theirs))
        assert code == its_code
        assert (mine is None and its is None) or np.array_equal(mine, its)
    array, affine = nifti.read_map(tmp_path / f"map{ending}")
    np.testing.assert_array_equal(array, map_zyx)
    np.testing.assert_array_equal(affine, theirs.affine)


def test_map_drops_what_described_the_intensities(tmp_path):
    """Scaling, display range, texts and intent of the source do not leak into the map; units stay."""

    def change(header):
        header["cal_max"], header["descrip"], header["aux_file"], header["intent_code"] = 900, b"NN", b"x", 1001
        header.set_xyzt_units("mm", "sec")

    source = nifti.read_header(save(tmp_path / "a.nii", voxels(), change=change))
    nifti.write_map(tmp_path / "m.nii.gz", np.ones(SHAPE[::-1], np.uint8), source.block)
    header = nibabel.load(tmp_path / "m.nii.gz").header
    assert header["cal_max"] == 0 and header["intent_code"] == 0 and b"NN" not in bytes(header["descrip"])
    assert not header["aux_file"].tobytes().strip(b"\0") and header.get_xyzt_units() == ("mm", "sec")
    raw = gzip.decompress((tmp_path / "m.nii.gz").read_bytes())
    assert struct.unpack_from("<2f", raw, 112) == (1.0, 0.0)


def test_same_map_same_bytes(tmp_path):
    """No time and no file name inside the gzip."""
    header = nifti.read_header(save(tmp_path / "a.nii", voxels())).block
    for name in ("one.nii.gz", "two.nii.gz"):
        nifti.write_map(tmp_path / name, np.ones(SHAPE[::-1], np.uint8), header)
    assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "two.nii.gz").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.nii", "one.nii.gz", "two.nii.gz"]


def test_photograph_map(tmp_path):
    """Without a header a [height, width] map becomes a 2-D image [width, height] with an identity affine."""
    array = np.random.default_rng(0).random((3, 4), np.float32)
    nifti.write_map(tmp_path / "a.nii.gz", array)
    nifti.write_map(tmp_path / "b.nii.gz", array[np.newaxis])
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert image.shape == (4, 3)
    np.testing.assert_array_equal(image.affine, np.eye(4))
    for name in ("a.nii.gz", "b.nii.gz"):
        np.testing.assert_array_equal(nifti.read_map(tmp_path / name)[0], array)


def test_map_of_another_shape_is_a_bug(tmp_path):
    """A map that does not fit its header, or has another dtype, is never written."""
    header = nifti.read_header(save(tmp_path / "a.nii", voxels())).block
    for array in (np.ones(SHAPE, np.uint8), np.ones(SHAPE[::-1], np.float64)):
        with pytest.raises(ValueError, match="header of shape"):
            nifti.write_map(tmp_path / "m.nii", array, header)
    assert not (tmp_path / "m.nii").exists()


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8"])
def test_reads_what_nibabel_reads(tmp_path, kind, endianness, dtype):
    """Both NIfTI versions and byte orders; the block is always the same little-endian NIfTI-1 geometry."""
    array = (voxels() % 200).astype(dtype)
    path = save(tmp_path / "a.nii.gz", array, kind=kind, endianness=endianness)
    header = nifti.read_header(path)
    found = nifti.read_array(header)
    assert found.dtype == np.dtype(dtype) and header.shape == SHAPE[::-1] and len(header.block) == 348
    np.testing.assert_array_equal(found, np.asarray(nibabel.load(path).dataobj).T)
    block = nibabel.Nifti1Header(header.block, "<")
    np.testing.assert_allclose(block.get_best_affine(), nibabel.load(path).affine, atol=1e-5)
    assert block.get_sform(coded=True)[1] == block.get_qform(coded=True)[1] == 1
    assert block.get_data_shape() == SHAPE and block.get_zooms() == pytest.approx((0.9, 1.1, 2.5), abs=1e-5)


def test_scaling_is_applied(tmp_path):
    """scl_slope and scl_inter make float32; slope 1 with inter 0 leaves integers alone."""
    path = save(tmp_path / "a.nii", voxels())
    data = bytearray(path.read_bytes())
    for slope, inter in ((0.5, -3.0), (1.0, 0.0), (0.0, 7.0), (float("nan"), 7.0)):
        data[112:120] = struct.pack("<2f", slope, inter)
        path.write_bytes(data)
        found = nifti.read_array(nifti.read_header(path))
        scaled = slope == 0.5
        assert found.dtype == (np.float32 if scaled else np.int16)
        np.testing.assert_array_equal(found, voxels().T * 0.5 - 3 if scaled else voxels().T)


def test_trailing_dimensions(tmp_path):
    """A fourth dimension of 1 is dropped, one of 2 refused."""
    one = nifti.read_header(save(tmp_path / "one.nii", voxels(shape=(*SHAPE, 1))))
    assert one.shape == SHAPE[::-1] and nibabel.Nifti1Header(one.block).get_data_shape() == SHAPE
    with pytest.raises(UserError, match=r"two\.nii: expected 3 dimensions, found 4: 7x9x5x2"):
        nifti.read_header(save(tmp_path / "two.nii", voxels(shape=(*SHAPE, 2))))


def test_small_file_that_asks_for_gigabytes(tmp_path):
    """Refused from the header alone, gzipped or not, whether or not it keeps below the cap."""
    for sizes, message in (((2600, 2600, 2600), "at most 536870912 voxels"), ((500, 500, 500), "that its header asks")):
        for name in ("bomb.nii", "bomb.nii.gz"):
            path = raw_header(tmp_path / name, dim=(3, *sizes))
            assert path.stat().st_size < 400
            with pytest.raises(UserError, match=message):
                nifti.read_header(path)


def test_gzip_that_never_ends(tmp_path):
    """Inflation stops soon after the voxels that the header accounts for."""
    path = save(tmp_path / "a.nii", voxels())
    bomb = tmp_path / "bomb.nii.gz"
    bomb.write_bytes(gzip.compress(path.read_bytes() + bytes(nifti.SLACK + 1), 1))
    with pytest.raises(UserError, match="far more"):
        nifti.read_array(nifti.read_header(bomb))


@pytest.mark.parametrize("keep", [0, 1, 20, 200, -200, -6, -1])
def test_truncated_gzip(tmp_path, keep):
    """Wherever it was cut, also within the checksum at the end, one line names the file."""
    path = save(tmp_path / "a.nii.gz", voxels())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"a\.nii\.gz: .*truncated, corrupt or no NIfTI file") as caught:
        nifti.read_array(nifti.read_header(path))
    assert "\n" not in str(caught.value)


def test_corrupt_and_foreign_files(tmp_path):
    """A flipped bit, plain text, a cut .nii and a missing file each end in one line."""
    path = save(tmp_path / "a.nii.gz", voxels())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    text = tmp_path / "text.nii"
    text.write_text("version https://git-lfs.github.com/spec/v1\n" * 20)
    cut = save(tmp_path / "cut.nii", voxels())
    cut.write_bytes(cut.read_bytes()[:-1])
    for broken in (path, text, cut):
        with pytest.raises(UserError, match="truncated, corrupt or no NIfTI file"):
            nifti.read_array(nifti.read_header(broken))
    with pytest.raises(UserError, match="No such file"):
        nifti.read_header(tmp_path / "absent.nii")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"magic": b"ni1"}, "half of a .hdr/.img pair"),
        ({"magic": b"abc"}, "signature"),
        ({"dim": (9, 4, 4, 4)}, "1 to 7 dimensions"),
        ({"dim": (3, 4, -4, 4)}, "1 to 7 dimensions"),
        ({"dim": (2, 4, 4)}, "expected 3 dimensions"),
        ({"datatype": 128}, "datatype 128"),
        ({"datatype": 32}, "datatype 32"),
        ({"datatype": 7777}, "datatype 7777"),
        ({"vox_offset": 12}, "bytes into the file, found 12"),
        ({"vox_offset": float("nan")}, "bytes into the file, found nan"),
        ({"vox_offset": 1e30}, "bytes into the file"),
        ({"scl_slope": float("inf"), "scl_inter": 0}, "finite scl_slope"),
        ({"sform_code": 0}, "neither sform nor qform"),
        ({"srow_x": (0, 0, 0, 0)}, "invertible affine"),
    ],
)
def test_headers_that_are_refused(tmp_path, fields, message):
    """Each impossible or unsupported header field has its own message."""
    path = raw_header(tmp_path / "a.nii", **fields)
    path.write_bytes(path.read_bytes() + bytes(1000))
    with pytest.raises(UserError, match=message):
        nifti.read_header(path)


def test_sform_and_qform_that_contradict(tmp_path):
    """Two forms of one code must agree; of two codes they may be different spaces."""

    def change(header):
        header["qoffset_x"] += 5

    with pytest.raises(UserError, match="5 mm apart"):
        nifti.read_header(save(tmp_path / "a.nii", voxels(), change=change))
    nifti.read_header(save(tmp_path / "b.nii", voxels(), codes=(4, 1), change=change))


def test_same_space(tmp_path):
    """Codes may differ, affines by 1e-3; a shape or a larger shift is refused naming both."""
    reference = nifti.read_header(save(tmp_path / "a.nii", voxels()))
    for shift, codes in ((0.0, (0, 1)), (5e-4, (2, 0))):
        other = save(tmp_path / "b.nii", voxels(), affine=oblique(origin=(-81.3 + shift, 40.25, -12.0)), codes=codes)
        nifti.require_same_space(reference, nifti.read_header(other))
    shifted = save(tmp_path / "c.nii", voxels(), affine=oblique(origin=(-81.3, 42.25, -12.0)))
    with pytest.raises(UserError, match=r"c\.nii: expected the affine of a\.nii .*row 2, column 4.* found 42\.25"):
        nifti.require_same_space(reference, nifti.read_header(shifted))
    with pytest.raises(UserError, match=r"d\.nii: expected the shape of a\.nii, 7x9x5, found 7x9x6"):
        nifti.require_same_space(reference, nifti.read_header(save(tmp_path / "d.nii", voxels(shape=(7, 9, 6)))))


def test_says_so_where_slices_are_not_axial(tmp_path, caplog):
    """One line for sagittal slices, none for axial ones, oblique or upside down."""
    for affine in (oblique(), np.diag([-1.0, -1, -1, 1])):
        nifti.warn_unless_axial(nifti.read_header(save(tmp_path / "a.nii", voxels(), affine)))
    assert not caplog.records
    sagittal = np.eye(4)[[2, 0, 1, 3]]
    nifti.warn_unless_axial(nifti.read_header(save(tmp_path / "b.nii", voxels(), sagittal)))
    assert len(caplog.records) == 1 and "along left-right" in caplog.text and "b.nii" in caplog.text


def changed(path, *fields):
    """Writes numbers into a header's bytes: (offset, struct format, values)."""
    data = bytearray(path.read_bytes())
    for offset, form, *values in fields:
        struct.pack_into(form, data, offset, *values)
    path.write_bytes(data)
    return path


NAN = float("nan")
POOR_QFORMS = {  # how a qform is off: what is written where; pixdim stands at 76, the quaternion at 256
    "qfac 0": [(76, "<f", 0.0)],
    "qfac 2": [(76, "<f", 2.0)],
    "negative sizes": [(80, "<3f", -0.9, -1.1, -2.5)],
    "long quaternion": [(256, "<3f", 0, 0, 1.0000005)],
    "NaN sizes": [(80, "<3f", NAN, NAN, NAN)],
    "NaN quaternion": [(256, "<3f", NAN, 0, 0)],
    "no size": [(80, "<3f", 0, 0, 0)],
    "huge quaternion": [(256, "<3f", 3, 3, 3)],
}


def rotated():
    """Half a turn about z: a quaternion of length 1, that rounding makes longer."""
    affine = np.diag([-0.9, -1.1, 2.5, 1.0])
    affine[:3, 3] = (81.3, 40.25, -12.0)
    return affine


@pytest.mark.parametrize("codes", [(1, 1), (2, 1), (1, 0)])
@pytest.mark.parametrize("poor", POOR_QFORMS)
def test_a_good_sform_beside_a_poor_qform(tmp_path, poor, codes):
    """The sform is the image's place, as for nibabel and ITK; maps keep the header's own bytes (F01, F02)."""
    source = save(tmp_path / "a.nii", voxels(), rotated(), codes)
    changed(source, *POOR_QFORMS[poor])
    header = nifti.read_header(source)
    np.testing.assert_allclose(header.affine, rotated(), atol=1e-5)
    np.testing.assert_array_equal(place.of_block(header.block, "a"), header.affine)
    assert voxel_order.of_header(header.block) == "LPS"
    nifti.write_map(tmp_path / "m.nii", np.ones(SHAPE[::-1], np.uint8), header.block)
    one, other = source.read_bytes(), (tmp_path / "m.nii").read_bytes()
    assert one[76:108] == other[76:108] and one[252:328] == other[252:328]  # pixdim; both forms and their codes
    np.testing.assert_array_equal(nibabel.load(tmp_path / "m.nii").affine, nibabel.load(source).affine)
    np.testing.assert_array_equal(nifti.read_map(tmp_path / "m.nii")[1], header.affine)


@pytest.mark.parametrize("poor", POOR_QFORMS)
def test_a_poor_qform_alone(tmp_path, poor):
    """What rounding and habit leave is read as the standard and nibabel do; what is no geometry is refused, saying why."""
    source = save(tmp_path / "a.nii", voxels(), rotated(), (0, 1))
    changed(source, *POOR_QFORMS[poor])
    if poor in ("qfac 0", "qfac 2", "negative sizes", "long quaternion"):
        found = nifti.read_header(source).affine
        np.testing.assert_allclose(found, rotated(), atol=1e-5)
        assert voxel_order.of_header(nifti.read_header(source).block) == "LPS"
        if poor != "long quaternion":  # nibabel raises on that one
            np.testing.assert_array_equal(found, nibabel.load(source).affine)
    else:
        with pytest.raises(UserError, match=r"a\.nii: expected .*invertible affine, found a qform (whose|with)"):
            nifti.read_header(source)


def test_a_left_handed_qform(tmp_path):
    """pixdim[0] = -1 turns the third axis; both forms still agree."""
    affine = np.diag([-1.0, 1, 2, 1]) @ np.diag([1, 1, -1, 1]) @ np.diag([1, 1, -1, 1])
    source = save(tmp_path / "a.nii", voxels(), affine)
    assert nibabel.load(source).header["pixdim"][0] == -1
    np.testing.assert_array_equal(nifti.read_header(source).affine, affine)
    changed(source, (254, "<h", 0))  # the qform alone
    np.testing.assert_array_equal(nifti.read_header(source).affine, affine)


@pytest.mark.parametrize("rows", [(0.0,) * 12, (NAN,) * 12, (1.0,) * 12])
def test_a_poor_sform_beside_a_good_qform(tmp_path, rows):
    """An sform that is no invertible affine is left aside, said once; alone it is refused."""
    paths = [changed(save(tmp_path / f"{name}.nii", voxels(), rotated()), (280, "<12f", *rows)) for name in "ab"]
    with notices.gathered() as noticed:
        for path in paths:
            np.testing.assert_allclose(nifti.read_header(path).affine, rotated(), atol=1e-5)
            assert voxel_order.of_header(nifti.read_header(path).block) == "LPS"
    (line,) = noticed.lines()
    assert "a.nii" in line and "its qform (and 1 more)" in line
    with pytest.raises(UserError, match="invertible affine, found an sform that is no invertible affine"):
        nifti.read_header(changed(paths[0], (252, "<h", 0)))


@pytest.mark.parametrize("more", [b"\n", b"\r\n", b"\0" * 40, b"<html>signed out</html>" * 400, b"\x00\nabc"])
def test_bytes_after_gzip(tmp_path, more):
    """Read as gzip does, said once for all files (F05)."""
    paths = [save(tmp_path / f"{name}.nii.gz", voxels()) for name in "ab"]
    for path in paths:
        path.write_bytes(path.read_bytes() + more)
    with notices.gathered() as noticed:
        for path in paths:
            np.testing.assert_array_equal(nifti.read_array(nifti.read_header(path)), voxels().T)
    assert len(noticed.lines()) == (0 if not more.strip(b"\0") else 1)  # zeros pad a tape's block


def test_gzip_of_several_members(tmp_path):
    """As bgzip and pigz write them, with bytes after the last; a member that is damaged is an error still."""
    plain = save(tmp_path / "a.nii", voxels()).read_bytes()
    members = [gzip.compress(plain[start : start + 200]) for start in range(0, len(plain), 200)]
    path = tmp_path / "b.nii.gz"
    path.write_bytes(b"".join(members) + b"\n")
    with notices.gathered():
        np.testing.assert_array_equal(nifti.read_array(nifti.read_header(path)), voxels().T)
    members[2] = members[2][:-8] + b"\1\2\3\4" + members[2][-4:]
    path.write_bytes(b"".join(members) + b"\n")
    with pytest.raises(UserError, match="truncated, corrupt or no NIfTI file"):
        nifti.read_array(nifti.read_header(path))
    path.write_bytes(gzip.compress(plain[:-9]) + b"\n" * 5000)
    with pytest.raises(UserError, match="expected 630 bytes of voxels, found fewer"), notices.gathered():
        nifti.read_array(nifti.read_header(path))
