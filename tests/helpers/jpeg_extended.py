"""JPEG Extended with 12 bits (ITU-T T.81, Process 4), by the simplest encoder: blocks of one value each."""

import struct

import numpy as np

BLOCK = 8  # rows and columns of a block
SYMBOLS = bytes(range(16))  # categories of a difference of DC coefficients; all have codes of five bits
CODE_BITS = 5


def encode_blocks(values):
    """A frame whose blocks of 8 x 8 pixels have the values given, 0 to 4095: (rows / 8, columns / 8)."""
    rows, columns = (BLOCK * n for n in values.shape)
    quantisation = b"\x00" + b"\x01" * BLOCK**2
    frame = struct.pack(">BHHB", 12, rows, columns, 1) + b"\x01\x11\x00"
    codes = bytes([0] * (CODE_BITS - 1) + [len(SYMBOLS)] + [0] * (16 - CODE_BITS))
    segments = [
        (0xDB, quantisation),
        (0xC1, frame),
        (0xC4, b"\x00" + codes + SYMBOLS),  # DC
        (0xC4, b"\x10" + codes + SYMBOLS),  # AC, of which only the end of a block is used
        (0xDA, b"\x01\x01\x00\x00\x3f\x00"),
    ]
    head = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return b"\xff\xd8" + head + _encode_differences(values) + b"\xff\xd9"


def _encode_differences(values):
    levels = BLOCK * (values.astype(int).ravel() - 2048)  # a constant block has its value times 8 as DC coefficient
    bits = []
    for difference in np.diff(levels, prepend=0).tolist():
        size = abs(difference).bit_length()
        bits.append(f"{size:0{CODE_BITS}b}")
        if size:
            bits.append(f"{difference if difference > 0 else difference + 2**size - 1:0{size}b}")
        bits.append("0" * CODE_BITS)
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")
