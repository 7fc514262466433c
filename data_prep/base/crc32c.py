"""CRC-32C (Castagnoli), the checksum of TFRecord files, in NumPy: a gigabyte and more a second, without TensorFlow.

A message is a polynomial over GF(2), and its checksum the remainder by P of degree 32. Let y be x^64, so that a message is a
polynomial in y whose coefficients are words of 64 bits. As squaring is linear there, P(x^64) = P(x)^64: whatever P divides as
a polynomial in x it divides in y too. Of P's multiples some have very few terms (`_SPARSE`, found by trying all up to a degree),
such as y^5685 + y^1362 + y^426 + 1, and so have their squares. Modulo P a word at y^5685 therefore counts as the same word at
y^1362, at y^426 and at 1: long messages are shortened by XORs of long rows of words. The last bits are looked up one by one.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # P without x^32, highest degree in the lowest bit, as the bits of a byte come
_SPARSE = ((5685, 1362, 426, 0), (290, 136, 113, 107, 32, 0))  # degrees in y of multiples of P
_WORDS = 320  # from here on bits are looked up; above the degree of the shortest multiple
_ONES = 0xFFFFFFFF


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """The checksum of `data`, 0 to 2**32 - 1, as RFC 3720 has it."""
    size = len(data)
    if size < 64:
        return _bytewise(data)
    words = np.zeros(-(-size // 8), np.uint64)
    octets = words.view(np.uint8)
    octets[len(octets) - size :] = np.frombuffer(data, np.uint8)  # zeros in front change no remainder
    octets[len(octets) - size : len(octets) - size + 4] ^= np.uint8(255)
    words = _shortened(words)
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")
    return int(np.bitwise_xor.reduce(_remainders()[-len(bits) :] * bits)) ^ _ONES


def _shortened(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """At most `_WORDS` words of the same remainder; the first is the highest coefficient. Works in place."""
    for degrees in _SPARSE:
        scale = 1
        while 2 * scale * degrees[0] < len(words):
            scale *= 2
        while scale:
            high, *lower = (scale * degree for degree in degrees)
            while len(words) > max(high, _WORDS):
                count = min(high - lower[0], len(words) - high)
                for degree in lower:
                    words[high - degree : high - degree + count] ^= words[:count]
                words = words[count:]
            scale //= 2
    return words


@functools.cache
def _remainders() -> NDArray[np.uint32]:
    """uint32 [64 * _WORDS]: what each bit of the last `_WORDS` words adds to the checksum, in the order of the bits."""
    found, value = np.empty(64 * _WORDS, np.uint32), _POLYNOMIAL
    for index in range(len(found) - 1, -1, -1):  # the last bit is x^0, whose remainder times x^32 is P's lower part
        found[index] = value
        value = _times_x(value)
    return found


def _times_x(value):
    return value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)


@functools.cache
def _octets() -> list[int]:
    """What each value of the lowest byte adds when eight more bits have gone."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = _times_x(value)
        table.append(value)
    return table


def _bytewise(data):
    table, value = _octets(), _ONES
    for octet in bytes(data):
        value = table[value & 255 ^ octet] ^ value >> 8
    return value ^ _ONES
