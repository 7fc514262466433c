"""Python with URLs, on an S3 server: a run, a patient, maps and an evaluation in a bucket, as with paths."""

import os

import numpy as np
import pytest
from made_up_maps import undrawn
from s3_server import files, upload

import tfunc
from data_prep.base import stores
from data_prep.base.errors import NotReady, UserError


@pytest.fixture
def bucket(s3, tmp_path, monkeypatch):
    """The URL of a new bucket's folder, for this process on a machine that has nothing of it."""
    for name, value in {**s3.environment, stores.CACHE: str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(stores.ROOT, "")  # which the test sets, and what it was comes back
    os.environ.pop(stores.ROOT)
    yield f"s3://{s3.bucket()}/of hospital"


@pytest.mark.long
def test_a_run_and_a_patient(bucket, s3, isic_run, isic_data, tmp_path):
    """The maps are those of the paths; what a prediction does not read is not brought; maps are saved in the bucket."""
    upload(s3, isic_run, f"{bucket}/run")
    for other in ("predictions/baseline", "networks/center"):  # large, and not of this method
        upload(s3, isic_run / "networks" / "baseline", f"{bucket}/run/{other}")
    photograph = sorted((isic_data.parent / "raw").rglob("*.jpg"))[0]
    upload(s3, photograph.parent, f"{bucket}/new")
    found = tfunc.load(f"{bucket}/run").predict(f"{bucket}/new/{photograph.name}")
    expected = tfunc.load(isic_run).predict(photograph)
    assert np.array_equal(found.probability, expected.probability)
    brought = {path.parent.name for path in (tmp_path / "cache").rglob("*.h5")}
    assert brought == {"baseline"} and not list((tmp_path / "cache").rglob("predictions"))
    written = found.save(f"{bucket}/maps")
    assert {path.name for path in written} < set(s3.content(f"{bucket}/maps"))
    assert s3.content(f"{bucket}/maps") == files(written[0].parent)


@pytest.mark.long
def test_an_evaluation(bucket, s3, tmp_path, monkeypatch):
    """Maps and labels from the bucket, tables and report into it; the numbers are those of a disk."""
    undrawn(monkeypatch)
    from data_prep import map_files

    labels, maps = tmp_path / "labels", tmp_path / "maps"
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        label = np.zeros((4, 8, 8), np.uint8)
        label[1:3, 2:6, 2:6] = 1
        probability = np.clip(label * 0.7 + random.random(label.shape) * 0.3, 0, 1).astype(np.float32)
        arrays = {"probability": probability, "prediction": (probability > 0.5).astype(np.uint8)}
        map_files.write(maps, name, arrays, None)
        map_files.write(labels, name, {"prediction": label}, None)
        (labels / f"{name}_prediction.nii.gz").rename(labels / f"{name}.nii.gz")
    upload(s3, maps, f"{bucket}/maps")
    upload(s3, labels, f"{bucket}/labels")
    here = tfunc.evaluate(maps, labels, out_dir=tmp_path / "evaluation", kind="probability")
    there = tfunc.evaluate(f"{bucket}/maps", f"{bucket}/labels", out_dir=f"{bucket}/evaluation", kind="probability")
    assert there.methods == here.methods
    in_bucket = s3.content(f"{bucket}/evaluation")
    assert in_bucket["table1.csv"] == (tmp_path / "evaluation" / "table1.csv").read_bytes()
    assert {"report.html", "summary.json"} <= set(in_bucket)


def test_errors_name_the_url(bucket, s3):
    """And not the copy."""
    with pytest.raises(NotReady) as raised:
        tfunc.load(f"{bucket}/run")
    assert str(raised.value).startswith(f"{bucket}/run: expected a run with trained networks, found nothing")
    with pytest.raises(UserError, match="a bucket and a folder in it"):
        tfunc.load("s3://bucket")
    with pytest.raises(UserError) as raised:
        tfunc.evaluate(f"{bucket}/maps", f"{bucket}/labels")
    assert bucket in str(raised.value) and "cache" not in str(raised.value)


def test_the_copy_is_the_users_alone(bucket, tmp_path):
    """Maps of patients that are saved in a bucket lie in a cache: nobody else can read it, whatever made it."""
    cache = tmp_path / "cache"
    assert not cache.exists()
    stores.place(f"{bucket}/maps")
    assert cache.stat().st_mode & 0o077 == 0
