"""Runs Label Studio's program so that it answers at once; for Label Studio's own Python, and knows nothing of ours.

Its server writes the head of an answer and then the body. By Nagle's algorithm the body waits until the browser has
acknowledged the head, and a browser takes its time for that, as an answer of its own may take the acknowledgement along
(RFC 896; RFC 1122, 4.2.3.2): 40 ms for every request, of a page that makes dozens. It is switched off here.
"""

import runpy
import socketserver
import sys

if __name__ == "__main__":
    sys.argv = sys.argv[1:]  # the program, and what it is told
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True
    runpy.run_path(sys.argv[0], run_name="__main__")
