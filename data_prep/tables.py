"""Tables as spreadsheets save them: CSV with commas, semicolons, tabs or bars, in UTF-8, UTF-16 or the Windows code page.

A first line `sep=;`, by which Excel tells itself the separator, is no row. Text is in Unicode's composed form (NFC), in which
names are compared. A cell of text that a spreadsheet would run as a formula stands behind an apostrophe, in what we write, and is
read without it.
"""

from __future__ import annotations

import codecs
import csv
import io
import pathlib
import re
import unicodedata
from typing import Any

from data_prep.base import regular
from data_prep.base.errors import UserError

SEPARATORS = ",;\t|"
LARGEST = 1 << 26  # bytes of a table that is read: a line for each of a million subjects
PLAIN = "'"  # by which a spreadsheet knows that a cell is text
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SEPARATOR_LINE = re.compile(r"""["']?sep=(?P<separator>[^\r\n])["']?[ ,;\t|]*\r?\n?""", re.IGNORECASE)

Row = tuple[int, list[str]]


def rows(path: pathlib.Path | str) -> list[Row]:
    """(line of the file, its cells without surrounding space) of each row that isn't empty, the headings first.

    The separator is what the first line has most of. Raises `UserError` for what is no table of text.
    """
    require_size(path)
    try:
        text = unicodedata.normalize("NFC", _text(pathlib.Path(path).read_bytes()))
        first = text.lstrip("\r\n").partition("\n")[0]
        separator, before = max(SEPARATORS, key=first.count), 0
        if told := _SEPARATOR_LINE.match(text):
            text, separator, before = text[told.end() :], told["separator"], 1
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        read = [(reader.line_num + before, [bare(cell.strip()).strip() for cell in cells]) for cells in reader]
        return [row for row in read if any(row[1])]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        do = "save it as CSV in UTF-8"
        raise UserError(path, expected="a CSV table", found=str(error), do=do) from None


def require_size(path: pathlib.Path | str) -> None:
    """Raises `UserError` for what is no regular file, and for a larger one than is read; nothing where there is none."""
    regular.require(path)
    if (place := pathlib.Path(path)).exists() and (size := place.stat().st_size) > LARGEST:
        found = f"{size:,} bytes, more than the {LARGEST:,} that are read"
        raise UserError(path, expected="a CSV table", found=found, do="give the table itself")


def guarded(cell: Any) -> Any:
    """A cell as it is written: text that begins as a formula does has `PLAIN` before it, a number is left alone."""
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r", "\n")  # which Python before 3.13 writes without quotes, as the end of a row
    return PLAIN + text if cell.startswith(_FORMULA) and not _is_number(cell) else text


def bare(cell: str) -> str:
    """A cell as it was before it was `guarded`."""
    return cell[1:] if cell[:1] == PLAIN and cell[1:].startswith(_FORMULA) and not _is_number(cell[1:]) else cell


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def heading(text: str) -> str:
    """A column's name as it is compared: lower case, with one sign for all that separates its words."""
    return re.sub(r"[\s_-]+", "_", text.strip().lower())


def _text(data):
    """UTF-16 by its mark, or by every second byte being 0; else UTF-8 with or without a mark; else Windows' code page."""
    if data.startswith(_UTF_16):
        text = data.decode("utf-16")
    elif data[:2] and data[1:64:2].count(0) * 2 > len(data[1:64:2]):
        text = data.decode("utf-16-le")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252")
    if "\0" in text:
        raise csv.Error("bytes that are no text")
    return text
