#!/usr/bin/env python3
"""Writes tests/oracle/codecs.h: float32 at the boundaries of rounding, and what numpy makes of them.

float16 is numpy's own, bfloat16 that of ml_dtypes (the package that JAX and TensorFlow use). Run:

    python3 tests/oracle/make_codecs.py > tests/oracle/codecs.h
"""
import ml_dtypes
import numpy


def bits(value):
    return int(numpy.float32(value).view(numpy.uint32))


def floats(patterns):
    return numpy.array(patterns, dtype=numpy.uint32).view(numpy.float32)


def around(lower, upper):
    """The middle of two neighbours of a narrow format and its neighbours among float32: all are float32."""
    middle = bits((float(lower) + float(upper)) / 2)
    return [bits(lower), middle - 1, middle, middle + 1, bits(upper)]


def half_boundaries():
    patterns = []
    for half in (0x0000, 0x0001, 0x0002, 0x01ff, 0x03fe, 0x03ff, 0x0400, 0x0401, 0x3bff, 0x3c00, 0x3c01, 0x57a9,
                 0x7bfe):
        lower, upper = numpy.array([half, half + 1], dtype=numpy.uint16).view(numpy.float16)
        patterns += around(lower, upper)
    return patterns + [bits(x) for x in (65504, 65519.996, 65520, 65536, 1e30)]


def bfloat16_boundaries():
    patterns = []
    for upper_half in (0x0001, 0x007f, 0x0080, 0x3f7f, 0x3f80, 0x3f81, 0x7f7e, 0x7f7f):
        middle = upper_half << 16 | 0x8000
        patterns += [upper_half << 16, middle - 1, middle, middle + 1]
    return patterns


def main():
    patterns = half_boundaries() + bfloat16_boundaries() + [0x00000001, 0x007fffff, 0x7f7fffff, 0x7f800000]
    patterns = sorted({p | sign for p in patterns for sign in (0, 0x80000000)})
    values = floats(patterns)
    with numpy.errstate(over="ignore"):
        halves = values.astype(numpy.float16).view(numpy.uint16)
    bfloats = values.astype(ml_dtypes.bfloat16).view(numpy.uint16)
    print("/* Written by make_codecs.py: float32 and the float16 and bfloat16 nearest to them, ties to even, as bits. */")
    print("#ifndef CAIRN_TESTS_ORACLE_CODECS_H\n#define CAIRN_TESTS_ORACLE_CODECS_H\n\n#include <stdint.h>\n")
    print("static const struct {\n    uint32_t float32;\n    uint16_t float16, bfloat16;\n} oracle_roundings[] = {")
    for row in zip(patterns, halves, bfloats):
        print("    {0x%08x, 0x%04x, 0x%04x}," % row)
    print("};\n\n#endif")


main()
