"""Facts that tests make up: a manifest without files."""

import pathlib

from data_prep import records, tasks


def manifest(dataset="brats", train=20, valid=5, test=4, grades=True, **more):
    """A manifest without files: subjects s000 …, a fifth of them LGG."""

    def entry(index, split):
        grade = ("LGG" if index % 5 == 0 else "HGG") if grades else None
        return records.SubjectEntry(
            f"s{index:03}", (split,), grade, f"{split}-0", 0, 2, 2, (2, 8, 8), True, "", None, None
        )

    splits = ["train"] * train + ["valid"] * valid + ["test"] * test
    values = {
        "dataset": dataset,
        "task": tasks.TASKS[dataset],
        "channels": ("flair", "t1", "t2", "t1ce"),
        "height": 8,
        "width": 8,
        "intensity": "zscore",
        "label_map": None,
        "subjects": tuple(entry(index, split) for index, split in enumerate(splits)),
        "shards": (),
        "members": None,
        "folds": None,
        "configuration": {},
        "path": pathlib.Path("dataset.json"),
    }
    return records.Manifest(**{**values, **more})
