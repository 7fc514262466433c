"""Folders by URL: what is written is in the store before anything follows, what others wrote is brought, and nothing else."""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import threading
import time

import pytest
from conftest import ROOT
from s3_server import files

from data_prep.base import artefacts, leases, locks, mirrors, processes, store_index, store_leases, stores
from data_prep.base.errors import NotReady, UserError


@pytest.fixture
def machine(s3, tmp_path, monkeypatch):
    """machine(name): from here on this process is on that machine, with a cache of its own; returns the folder of `url`."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{s3.bucket()}/runs/a run"
    monkeypatch.setenv(stores.ROOT, "")

    def change(name):
        monkeypatch.setenv(stores.CACHE, str(tmp_path / name))
        monkeypatch.delenv(stores.ROOT)
        monkeypatch.setattr(mirrors, "_looked", {})
        monkeypatch.setattr(store_leases, "_refused", {})
        folder = stores.local(url)
        monkeypatch.setenv(stores.ROOT, stores.root())
        mirrors.fetch(folder)
        return folder

    change.url = url
    return change


def test_a_url_has_one_path_and_back(tmp_path, monkeypatch):
    monkeypatch.setenv(stores.CACHE, str(tmp_path / "cache"))
    monkeypatch.delenv(stores.ROOT, raising=False)
    path = stores.local("s3://bucket/runs/brats/")
    assert path == (tmp_path / "cache/s3/bucket/runs/brats").resolve()
    assert stores.of(path / "networks" / "baseline") == "s3://bucket/runs/brats/networks/baseline"
    assert stores.of(tmp_path) is None and stores.of("relative") is None and stores.shown(tmp_path) == str(tmp_path)
    assert stores.told(f"{path}: see '{path}/a b'") == "s3://bucket/runs/brats: see 's3://bucket/runs/brats/a b'"
    assert stores.local("file" + ":///data/brats") == pathlib.Path("/data/brats")
    monkeypatch.delenv(stores.ROOT)
    assert stores.of(path) is None


@pytest.mark.parametrize(
    "url", ["s3://bucket", "s3://", "s3://b/../c", "s3://b//c", "s3://b/./c", "x::s3://b/c", "s3://b/a\0b", "nothing"]
)
def test_what_is_no_url_of_a_folder_is_refused(url, monkeypatch, tmp_path):
    monkeypatch.setenv(stores.CACHE, str(tmp_path))
    with pytest.raises(UserError):
        stores.local(url)


def test_a_password_is_not_repeated():
    with pytest.raises(UserError) as caught:
        stores.local("ftp://me:secret@host/folder")
    assert "secret" not in str(caught.value)


def test_what_is_written_is_brought_to_other_machines(machine, s3):
    folder = machine("one")
    artefacts.write_text(folder / "maps" / "s_1.nii", "map")
    artefacts.write_document(folder / "maps" / "made.json", {"of": 1})
    assert s3.content(machine.url) == files(folder)
    other = machine("two")
    assert other != folder and files(other) == files(folder)
    artefacts.remove(other / "maps" / "made.json")
    artefacts.write_text(other / "maps" / "s_1.nii", "MAP")
    again = machine("one")
    assert files(again) == {"maps/s_1.nii": b"MAP"} == s3.content(machine.url)
    artefacts.remove_tree(again / "maps")
    assert not machine("two").exists() and not s3.content(machine.url)


def test_nothing_is_brought_twice(machine, monkeypatch):
    from data_prep.base import store_client

    artefacts.write_text(machine("one") / "a.txt", "a")
    machine("two")
    brought = []
    monkeypatch.setattr(store_client, "bring", lambda *of: brought.append(of))
    machine("one"), machine("two")
    assert not brought


def test_a_file_that_was_changed_here_is_what_the_store_has_again(machine):
    folder = machine("one")
    artefacts.write_text(folder / "a.txt", "a")
    (folder / "a.txt").write_text("b")
    (folder / "new.json").write_text("{}")  # by hand: the store knows nothing of it
    assert files(machine("one")) == {"a.txt": b"a"}


def test_only_what_is_wanted_is_brought_and_nothing_is_left_outdated(machine):
    folder = machine("one")
    for name in ("map.nii", "told.json"):
        artefacts.write_text(folder / name, "1")
    machine("two")
    artefacts.write_text(machine("one") / "map.nii", "22")
    other = machine("three")
    mirrors.fetch(other, stores.is_document)
    assert set(files(other)) == {"map.nii", "told.json"}  # it is what the store has
    artefacts.write_text(machine("one") / "map.nii", "333")
    for name in ("two", "three"):
        other = stores.local(machine.url).parents[3].parent / name / other.relative_to(other.parents[3])
    folder = machine("two")
    artefacts.write_text(machine("one") / "map.nii", "4444")
    os.environ[stores.ROOT] = str(folder.parents[3])
    mirrors.fetch(folder, stores.is_document)
    assert set(files(folder)) == {"told.json"}


def test_payload_comes_before_what_vouches_for_it(machine, monkeypatch):
    from data_prep.base import store_client

    folder = machine("one")
    for name in ("a.json", "z.nii", "b.json"):
        artefacts.write_text(folder / name, name)
    order, real = [], store_client.bring
    monkeypatch.setattr(store_client, "bring", lambda url, path: (order.append(url[-6:]), real(url, path))[1])
    machine("two")
    assert order[0] == "/z.nii" and sorted(order[1:]) == ["a.json", "b.json"]


def test_a_file_that_was_written_meanwhile_stays(machine, monkeypatch):
    """Another process of the machine writes it between a look's listing and its rename."""
    from data_prep.base import store_client

    folder = machine("one")
    artefacts.write_text(folder / "a.txt", "old")
    other = machine("two")
    artefacts.write_text(other / "a.txt", "newer")
    os.environ[stores.ROOT] = str(folder.parents[3])
    real = store_client.bring

    def bring(url, path):
        done = real(url, path)
        monkeypatch.setattr(store_client, "bring", real)
        artefacts.write_text(folder / "a.txt", "the newest")
        return done

    monkeypatch.setattr(store_client, "bring", bring)
    mirrors.fetch(folder)
    assert (folder / "a.txt").read_text() == "the newest"


def test_a_folder_is_read_when_its_last_object_is_there(machine, s3):
    folder = machine("one")

    class Killed(BaseException):
        pass

    def step(method, path):
        return path.endswith("/2.txt")

    def write(folder):
        with artefacts.folder_aside(folder / "tensorboard") as aside:
            (aside / "in").mkdir()
            for number in (1, 2):
                (aside / "in" / f"{number}.txt").write_text(str(number))

    with s3.stepping_in(step), pytest.raises(UserError):
        write(folder)
    assert "tensorboard/in/1.txt" in s3.content(machine.url)
    assert not (machine("two") / "tensorboard").exists()
    folder = machine("three")
    write(folder)
    assert files(machine("two")) == {"tensorboard/in/1.txt": b"1", "tensorboard/in/2.txt": b"2"}
    assert set(s3.content(machine.url)) == {"tensorboard/in/1.txt", "tensorboard/in/2.txt"}


def test_a_write_that_fails_leaves_both_as_they_were(machine, s3):
    folder = machine("one")
    artefacts.write_text(folder / "a.txt", "before")
    with s3.stepping_in(lambda *what: True), pytest.raises(UserError, match=machine.url):
        artefacts.write_text(folder / "a.txt", "after")
    assert files(folder) == {"a.txt": b"before"} == s3.content(machine.url)


def test_logs_grow_here_and_are_taken_there(machine, s3):
    folder = machine("one")
    log = folder / "study" / "logs" / "train.log"
    log.parent.mkdir(parents=True)
    log.write_text("a line\n")
    mirrors.fetch(folder)
    assert log.exists()
    mirrors.push(folder)
    other = machine("two") / "study" / "logs" / "train.log"
    assert other.read_text() == "a line\n"
    with open(other, "a") as file:
        file.write("another\n")
    mirrors.fetch(stores.local(machine.url))
    assert other.read_text() == "a line\nanother\n"
    mirrors.push(stores.local(machine.url))
    machine("one")
    assert log.read_text() == "a line\nanother\n"


def test_a_log_that_is_taken_there_during_a_look_stays(machine, s3, monkeypatch):
    """As a job takes its last lines to the store while its study looks: the listing is older than the log's object."""
    from data_prep.base import store_client

    folder = machine("one")
    log = folder / "study" / "logs" / "evaluate.log"
    log.parent.mkdir(parents=True)
    log.write_text("a line\n")
    real = store_client.listed

    def listed(url):
        monkeypatch.setattr(store_client, "listed", real)
        found = real(url)
        mirrors.push(folder)
        return found

    monkeypatch.setattr(store_client, "listed", listed)
    mirrors.fetch(folder)
    assert log.read_text() == "a line\n"
    assert s3.content(machine.url) == {"study/logs/evaluate.log": b"a line\n"}


def test_a_look_knows_of_what_was_renamed_before(machine, monkeypatch):
    """A look that sees a folder which is published meanwhile, of which it wants the JSON only, takes nothing of it away."""
    from data_prep.base import store_client

    folder = machine("one")
    listed, add, published, looks = store_client.listed, store_index.add, threading.Event(), []

    def look():
        mirrors.fetch(folder, stores.is_document)

    def beside(root, path, tag):
        if not looks:
            looks.append(threading.Thread(target=look))
            looks[0].start()
            looks[0].join(0.3)  # as far as it gets while the journal lacks what is renamed
        add(root, path, tag)

    monkeypatch.setattr(store_index, "add", beside)
    monkeypatch.setattr(store_client, "listed", lambda url: (looks and published.wait(10), listed(url))[1])
    with artefacts.folder_aside(folder / "records") as aside:
        for name in ("a.shard", "b.shard", "c.json"):
            (aside / name).write_text(name)
    published.set()
    looks[0].join()
    assert sorted(files(folder)) == ["records/a.shard", "records/b.shard", "records/c.json"]


@pytest.mark.parametrize("name", ["../../outside", "a/../../outside", "a//b"])
def test_an_object_stays_below_its_folder(machine, s3, name):
    """A store may be a stranger's."""
    bucket = machine.url.split("/")[2]
    s3.client.put_object(Bucket=bucket, Key=f"runs/a run/{name}", Body=b"x")
    with pytest.raises(UserError, match="names that files can have"):
        machine("one")


def test_a_worker_brings_what_the_program_brought(machine, monkeypatch):
    """As it is told with a call; once, however many calls follow. Here its cache lies elsewhere, so that it is empty."""
    folder = machine("one")
    artefacts.write_text(folder / "a.json", "1")
    artefacts.write_text(folder / "a.nii", "1")
    mirrors.fetch(folder, stores.is_document)
    told = pickle.loads(pickle.dumps(processes.settings(tensorflow=False)))
    assert told.environment[stores.ROOT] == stores.root()
    other = machine("two")
    shutil.rmtree(other)
    told = dataclasses.replace(
        told,
        environment={stores.ROOT: stores.root()},
        brought={str(other): wants for wants in told.brought.values()},
    )
    told.apply()
    assert set(files(other)) == {"a.json"}
    (other / "a.json").unlink()
    told.apply()
    assert not files(other)


def test_two_machines_exclude_each_other(machine):
    folder = machine("one")
    with locks.held(folder / "maps", "maps"):
        other = machine("two")
        with (
            pytest.raises(NotReady, match=rf"found process {os.getpid()} on .*; wait"),
            locks.held(other / "maps", "maps"),
        ):
            pass
        assert locks.is_held(other / "maps" / ".lock")
    store_leases._refused.clear()
    with locks.held(other / "maps", "maps"):
        pass
    assert not locks.is_held(other / "maps" / ".lock")


def test_who_comes_second_sees_what_the_first_made(machine):
    """It looked before the first had finished, and took the lock when that was over."""
    other = machine("two")
    looked = dict(mirrors._looked)
    folder = machine("one")
    with locks.held(folder, "maps"):
        artefacts.write_text(folder / "made.json", "{}")
    os.environ[stores.ROOT] = str(other.parents[3])
    mirrors._looked.update(looked)
    with locks.held(other, "maps"):
        assert (other / "made.json").exists()


def forged(s3, url, **entries):
    bucket, _, key = f"{url}/.lock.lease/00000001".removeprefix("s3://").partition("/")
    document = {
        "holder": "process 7 on elsewhere",
        "token": "t",
        "host": "elsewhere",
        "process": 7,
        "time": time.time(),
    }
    s3.client.put_object(Bucket=bucket, Key=key, Body=json.dumps({**document, **entries}).encode())


def test_a_lease_lapses(machine, s3):
    folder = machine("one")
    forged(s3, machine.url)
    with pytest.raises(NotReady, match="process 7 on elsewhere"), locks.held(folder, "maps"):
        pass
    forged(s3, machine.url, time=time.time() - leases.LAPSED - 1)
    store_leases._refused.clear()
    with locks.held(folder, "maps"):
        assert store_leases._found(f"{machine.url}/.lock").keys() == {2}
    assert not store_leases._found(f"{machine.url}/.lock")


def test_a_lease_of_this_host_falls_with_its_process(machine, s3):
    from data_prep.base import leftovers

    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    folder = machine("one")
    forged(s3, machine.url, host=leftovers.writer(), process=process.pid)
    with locks.held(folder, "maps"):
        pass


@pytest.mark.long
def test_of_many_that_find_a_lapsed_lease_one_at_most_goes_on(machine, s3, monkeypatch):
    machine("one")
    forged(s3, machine.url, time=0)
    monkeypatch.setattr(store_leases, "AGAIN", 0.0)
    held, most, all_of_them = [], [0], threading.Barrier(6)

    class Local:
        def close(self):
            pass

    def run():
        all_of_them.wait()
        for _ in range(5):
            lease = store_leases.taken(f"{machine.url}/.lock", "me", Local())
            if lease is not None:
                held.append(1)
                most[0] = max(most[0], len(held))
                time.sleep(0.02)
                held.pop()
                lease.close()

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1


def test_who_lost_its_lease_writes_nothing_more(machine, s3, monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.05)
    folder = machine("one")
    with locks.held(folder, "maps"):
        artefacts.write_text(folder / "a.txt", "a")
        bucket, _, key = f"{machine.url}/.lock.lease/00000001".removeprefix("s3://").partition("/")
        first = s3.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        time.sleep(0.5)
        assert s3.client.get_object(Bucket=bucket, Key=key)["Body"].read() != first  # it is kept alive
        end = time.monotonic() + 10
        while True:  # a beat may be between its look and its write
            s3.client.delete_object(Bucket=bucket, Key=key)
            time.sleep(0.2)
            try:
                artefacts.write_text(folder / "a.txt", "a")
            except NotReady as error:
                assert "a folder that nobody else writes" in str(error)
                break
            assert time.monotonic() < end
    artefacts.write_text(folder / "c.txt", "c")
    assert set(files(folder)) == {"a.txt", "c.txt"} == set(s3.content(machine.url))


def test_who_comes_back_from_a_long_silence_finds_another(machine, s3):
    """Its number is still there, or it has just written it again: the other one counts."""
    folder = machine("one")
    with locks.held(folder, "maps"):
        (lease,) = [guard.__self__ for guard in stores.guards]
        lease._beaten -= leases.LAPSED
        artefacts.write_text(folder / "a.txt", "a")  # nobody came meanwhile
        bucket, _, key = f"{machine.url}/.lock.lease/00000002".removeprefix("s3://").partition("/")
        other = {"holder": "h", "token": "t", "host": "elsewhere", "process": 7, "time": time.time()}
        s3.client.put_object(Bucket=bucket, Key=key, Body=json.dumps(other).encode())
        lease._beaten -= leases.LAPSED
        with pytest.raises(NotReady, match="a folder that nobody else writes"):
            artefacts.write_text(folder / "a.txt", "b")
    assert files(folder) == {"a.txt": b"a"}


def test_a_journal_that_grew_is_written_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(store_index, "CROWDED", (2, 4))
    file = tmp_path / "a"
    for number in range(9):
        file.write_text("x" * number)
        store_index.add(str(tmp_path), file, f"tag {number}")
    (tmp_path / store_index.NAME).open("a").write("torn [")
    known = store_index.read(str(tmp_path))
    assert known["a"].tag == "tag 8" and len((tmp_path / store_index.NAME).read_text().splitlines()) == 1
    assert store_index.read(str(tmp_path)) == known


def test_plain_paths_know_no_fsspec(tmp_path):
    """Nor do they look for it."""
    code = f"""
import sys
from data_prep.base import artefacts, locks, mirrors
with locks.held({str(tmp_path)!r}, "maps"):
    artefacts.write_json({str(tmp_path / "a.json")!r}, {{}})
    artefacts.remove({str(tmp_path / "a.json")!r})
mirrors.fetch({str(tmp_path)!r}); mirrors.push({str(tmp_path)!r})
from launch import program, settings
assert not {{"fsspec", "s3fs", "botocore", "aiohttp", "data_prep.base.store_client"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_threads_bring_one_after_the_other(machine, monkeypatch):
    """The jobs of a study claim in threads, each of which looks: nobody writes into another's copy, and nothing comes twice."""
    from data_prep.base import store_client

    artefacts.write_text(machine("one") / "a.txt", "a" * 1000)
    folder, brought, bring = machine("two"), [], store_client.bring
    (folder / "a.txt").unlink()

    def slowly(url, path):
        brought.append(url)
        time.sleep(0.2)
        return bring(url, path)

    monkeypatch.setattr(store_client, "bring", slowly)
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        for one in [threads.submit(mirrors.fetch, folder) for _ in range(4)]:
            one.result()
    assert files(folder) == {"a.txt": b"a" * 1000} and len(brought) == 1


def test_a_look_leaves_a_folder_that_is_being_published(machine, monkeypatch):
    """As a study looks while its evaluation writes TensorBoard's folder: it is whole here before the store shows it."""
    folder = machine("one")
    delete = stores._delete

    def looked_at_first(url):
        if stores.UPLOADING in url:
            mirrors.fetch(folder)
        delete(url)

    monkeypatch.setattr(stores, "_delete", looked_at_first)
    with artefacts.folder_aside(folder / "evaluation") as aside:
        (aside / "events").write_text("e")
    assert files(folder) == {"evaluation/events": b"e"} == files(machine("two"))
