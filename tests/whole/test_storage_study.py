"""A study on two machines that have nothing in common but a store: each job is done once, and what one makes the other uses."""

from s3_server import upload, where

TINY = ("--start_filters=4", "--depth=1", "--batch_size=8", "--epochs=1", "--folds=2", "--samples=2", "--recalibrate")


def test_two_machines_share_a_study(machine, s3, isic_data):
    """Also what a network learns from others' maps, which the machine brings that trains it."""
    url = f"s3://{s3.bucket()}/isic"
    upload(s3, isic_data, f"{url}/data")
    flags = ["--dataset=isic", *where(url, "data", "run"), *TINY, "--methods=baseline,auxiliary_segm"]
    machines = [machine(), machine()]
    started = [one.start("study", *flags) for one in machines]
    ended = [one.launch.end(process) for one, process in zip(machines, started, strict=True)]
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    done = [[line.split()[1] for line in one.out.splitlines() if line.startswith("[")] for one in ended]
    jobs = [*done[0], *done[1]]
    assert all(done)  # both did some
    assert {"train_cv_1", "predict_cv_0_heldout", "train_auxiliary_segm", "recalibrate_baseline", "evaluate"} <= set(
        jobs
    )
    stored = s3.content(f"{url}/run")
    assert {f"study/logs/{job}.log" for job in jobs} <= set(stored)
    assert f"--run_dir={url}/run".encode() in stored["study/logs/train_baseline.log"]
    assert not [name for name in stored if "uploading" in name or "partial" in name]
    assert f"all {len(set(jobs))} jobs are done" in machine()("study", *flags).out
