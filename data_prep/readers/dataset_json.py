"""What a dataset.json says, of nnU-Net (either version) or of the Medical Segmentation Decathlon, every entry checked."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, NoReturn

from data_prep import task_rules
from data_prep.base.artefacts import read_json
from data_prep.base.errors import UserError
from data_prep.base.names import checked
from data_prep.readers import labels

FILE = "dataset.json"
IGNORE = "ignore"  # nnU-Net's name for the label that counts nowhere
_DO = "correct that entry; docs/howto/own_data.md shows a whole file"


@dataclasses.dataclass(frozen=True)
class Description:
    """What the file says.

    path: of the file.  channels: their names, in order.  regions: {name: raw labels}, in the file's order, without the
    background and what is ignored; of one label each unless the file lists several.  ignore: the raw label, or None.
    ending: of all files, or None.  training: how many cases it says there are, or None.
    """

    path: str
    channels: tuple[str, ...]
    regions: Mapping[str, tuple[int, ...]]
    ignore: int | None
    ending: str | None
    training: int | None


def document(folder: pathlib.Path) -> dict[str, Any]:
    """The file's content; raises `UserError` where it is missing, broken or no object."""
    path = folder / FILE
    if not path.is_file():
        raise UserError(
            path, expected="the description of the data set", found="no such file", do="write it, or copy it"
        )
    try:
        content = read_json(path)
    except UserError as error:
        _, expected, found, _ = error.arguments
        raise UserError(
            path, expected=expected, found=found, do="correct it: commas and quotes, or an empty file"
        ) from None
    if not isinstance(content, dict):
        _refuse(path, "an object with `labels` and `channel_names`", type(content).__name__)
    return content


def peek(folder: pathlib.Path) -> dict[str, Any]:
    """The file's content as far as it can be read, else an empty one; raises nothing."""
    try:
        return document(folder)
    except UserError:
        return {}


def read(folder: pathlib.Path) -> Description:
    """The `Description` of a folder; raises `UserError` naming the file and the entry at fault."""
    content, path = document(folder), folder / FILE
    regions, ignore = _labels(content, path)
    order = content.get("regions_class_order")
    if order is not None and (not _is_numbers(order) or len(order) != len(regions)):
        _refuse(path, f"`regions_class_order` as a list of {len(regions)} numbers, one for each region", repr(order))
    ending = content.get("file_ending")
    if ending is not None and not (isinstance(ending, str) and ending.startswith(".")):
        _refuse(path, '`file_ending` as ".nii.gz"', repr(ending))
    training = content.get("numTraining")
    if training is not None and not _is_number(training):
        _refuse(path, "`numTraining` as a number", repr(training))
    return Description(str(path), _channels(content, path), regions, ignore, ending, training)


def listed(folder: pathlib.Path, entry: str) -> list[Any]:
    """A list of the file, such as `training`; raises `UserError` where it is missing or another thing."""
    content = document(folder)
    if not isinstance(content.get(entry), list):
        _refuse(folder / FILE, f"a list `{entry}` of the cases", _kind(content, entry))
    return content[entry]


def _channels(content, path):
    entry = "channel_names" if "channel_names" in content else "modality"
    names = content.get(entry)
    if not isinstance(names, dict) or not names:
        _refuse(path, '`channel_names` as {"0": "CT"}', _kind(content, entry))
    expected = [str(index) for index in range(len(names))]
    if set(names) != set(expected):
        _refuse(path, f"the channels of `{entry}` numbered {', '.join(expected)}", ", ".join(map(str, names)))
    listed = [names[index] for index in expected]
    if strange := [name for name in listed if not isinstance(name, str) or not name.strip()]:
        _refuse(path, f"a name for each channel of `{entry}`", repr(strange[0]))
    seen = [checked(name.strip(), "a channel", path, _DO, slash=True) for name in listed]
    return tuple(name if seen.count(name) == 1 else f"{name}_{index:04d}" for index, name in enumerate(seen))


def _labels(content, path):
    """({region: raw labels} of the foreground, the ignored label or None)."""
    found = _numbers(content, path)
    background = [name for name, numbers in found.items() if 0 in numbers]
    if len(background) != 1 or found[background[0]] != (0,):
        named = ", ".join(background) or "none"
        _refuse(path, "one of `labels` to be 0 and nothing else, the background", named)
    ignored = next((name for name in found if name.casefold() == IGNORE), None)
    ignore = found.get(ignored, ())
    if len(ignore) > 1:
        _refuse(path, f"`{ignored}` in `labels` to be one number", str(list(ignore)))
    regions = {name: numbers for name, numbers in found.items() if name not in (background[0], ignored)}
    if not regions:
        _refuse(path, "a label beside the background in `labels`", ", ".join(found))
    if (count := len({number for numbers in regions.values() for number in numbers}) + 1) > task_rules.MOST_CLASSES:
        _refuse(path, f"at most {task_rules.MOST_CLASSES} classes in `labels`", f"{count}")
    if used := [name for name, numbers in regions.items() if set(numbers) & set(ignore)]:
        _refuse(path, f"the ignored label {ignore[0]} in no other entry of `labels`", used[0])
    return regions, (ignore[0] if ignore else None)


def _numbers(content, path):
    """{name: raw labels} of `labels`: {"liver": 1}, {"whole": [1, 2]}, or {"1": "liver"} as the Decathlon has it."""
    given = content.get("labels")
    if not isinstance(given, dict) or not given:
        _refuse(path, '`labels` as {"background": 0, "liver": 1}', _kind(content, "labels"))
    if all(isinstance(value, str) for value in given.values()):
        if strange := [key for key in given if not key.isdecimal() or len(key) > labels.LONGEST]:
            _refuse(
                path,
                '`labels` as {"background": 0, "liver": 1} or {"0": "background", "1": "liver"}',
                repr(strange[0])[:80],
            )
        found = [(name.strip(), (int(key),)) for key, name in given.items()]
    else:
        found = []
        for name, value in given.items():
            if not (_is_number(value) or (_is_numbers(value) and value)):
                _refuse(path, f"`{name}` in `labels` to be a number or a list of numbers", repr(value))
            found.append((name.strip(), tuple(dict.fromkeys(value)) if isinstance(value, list) else (value,)))
    if beyond := [number for _, numbers in found for number in numbers if number > labels.MOST]:
        _refuse(path, f"numbers from 0 to {labels.MOST} in `labels`", str(beyond[0]))
    names = [checked(name, "a label", path, _DO, slash=True) if name else "" for name, _ in found]
    if twice := [name for name in names if names.count(name) > 1 or not name]:
        _refuse(path, "another name for each entry of `labels`", repr(twice[0]))
    lists = {name.strip() for name, value in given.items() if isinstance(value, list)}
    plain = [numbers for name, numbers in found if name not in lists]
    if same := [numbers[0] for numbers in plain if plain.count(numbers) > 1]:
        _refuse(path, "each number once in `labels`, or lists for regions", f"{same[0]} twice")
    return dict(found)


def _is_number(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_numbers(value):
    return isinstance(value, list) and all(map(_is_number, value))


def _kind(content: Mapping[str, Any], entry: str) -> str:
    return f"{type(content[entry]).__name__} in `{entry}`" if entry in content else f"no `{entry}`"


def _refuse(path: object, expected: str, found: str) -> NoReturn:
    raise UserError(path, expected=expected, found=found, do=_DO)
