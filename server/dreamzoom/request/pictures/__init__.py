"""Decoding of the artist's picture and depth files, which are not trusted: one module per group of formats.

Each module checks sizes and structure before it decodes, so that a damaged or malicious file costs neither memory nor
time. What a file is follows from its first bytes, never from its name.
"""
