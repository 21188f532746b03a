"""Inspecting at the edge: a folder that judges pictures on an IPC, without network and without what trains.

`make` and `packing` write the folder where everything is installed; `program`, `eyes`, `spool` and `reporting` are what
works in it, on Python, numpy, OpenCV, Pillow and one runtime alone.
"""
