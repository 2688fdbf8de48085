#!/usr/bin/env python3
"""Reads a TensorBoard event file without TensorBoard, or anything of this project's.

    read_events.py FILE

Prints one JSON object a line: wall_time, step, and file_version or scalars. A record that
is torn at the end of the file is left out; anything else that is wrong is an error (exit
code 1). The framing and the messages are those of TensorFlow's record_writer.h,
event.proto and summary.proto.
"""

import json
import math
import struct
import sys


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 * (crc & 1))
    return crc ^ 0xFFFFFFFF


def unmask(masked):
    rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def records(data):
    at = 0
    while at + 12 <= len(data):
        length, length_crc = struct.unpack_from("<QI", data, at)
        if unmask(length_crc) != crc32c(data[at : at + 8]):
            raise ValueError(f"byte {at}: the length's checksum is wrong")
        if at + 16 + length > len(data):
            return
        payload = data[at + 12 : at + 12 + length]
        (payload_crc,) = struct.unpack_from("<I", data, at + 12 + length)
        if unmask(payload_crc) != crc32c(payload):
            raise ValueError(f"byte {at}: the record's checksum is wrong")
        yield payload
        at += 16 + length


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """(number, value) of each field of a protobuf message; bytes for what has a length."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, at = varint(data, at)
        elif wire_type == 1:
            (value,), at = struct.unpack_from("<d", data, at), at + 8
        elif wire_type == 5:
            (value,), at = struct.unpack_from("<f", data, at), at + 4
        elif wire_type == 2:
            length, at = varint(data, at)
            if at + length > len(data):
                raise ValueError("a field is longer than its message")
            value, at = data[at : at + length], at + length
        else:
            raise ValueError(f"wire type {wire_type}")
        yield number, value


def event(payload):
    result = {"wall_time": 0.0, "step": 0}
    for number, value in fields(payload):
        if number == 1:
            result["wall_time"] = value
        elif number == 2:
            result["step"] = value
        elif number == 3:
            result["file_version"] = value.decode()
        elif number == 5:
            scalars = result.setdefault("scalars", {})
            for _, summary_value in fields(value):
                parts = dict(fields(summary_value))
                # JSON has no infinity and nothing that is not a number.
                scalars[parts[1].decode()] = parts[2] if math.isfinite(parts[2]) else None
        else:
            raise ValueError(f"field {number} of an event")
    return result


def main():
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    try:
        for payload in records(data):
            print(json.dumps(event(payload)))
    except (ValueError, IndexError, KeyError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")


if __name__ == "__main__":
    main()
