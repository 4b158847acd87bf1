"""Sections of the configuration as they are written, and how they become values.

The values themselves, in the modules of the same names beside this package, need no pydantic: who routes or runs tools in
process has them without it.
"""
