"""Takes an event file apart and checks its sums with Debian's python3-crc32c, an implementation that is not ivado's.

read_events.py EVENT_FILE FOLDER: writes the payload of record i to FOLDER/i.
"""
import struct
import sys

import crc32c


def masked(data):
    crc = crc32c.crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


with open(sys.argv[1], "rb") as file:
    data = file.read()
position = 0
count = 0
while position < len(data):
    length, sum_of_length = struct.unpack_from("<QI", data, position)
    assert sum_of_length == masked(data[position : position + 8]), f"record {count}: the sum of the length"
    begin = position + 12
    payload = data[begin : begin + length]
    (sum_of_payload,) = struct.unpack_from("<I", data, begin + length)
    assert sum_of_payload == masked(payload), f"record {count}: the sum of the payload"
    with open(f"{sys.argv[2]}/{count}", "wb") as out:
        out.write(payload)
    position = begin + length + 4
    count += 1
