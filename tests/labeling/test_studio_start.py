"""Label Studio's program is run so that its server sends an answer at once, and imports nothing of ours."""

import json
import subprocess
import sys

from labeling.studio_process import START

PROGRAM = """
import json, socket, sys, threading, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        at_once = self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps([bool(at_once), sys.argv[1:], __name__, sys.path]).encode())
    def log_message(self, *words):
        pass

server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/").read().decode())
server.shutdown()
"""


def test_a_server_of_the_program_sends_at_once_what_it_writes(tmp_path):
    (tmp_path / "program").write_text(PROGRAM)
    command = [sys.executable, "-P", str(START), str(tmp_path / "program"), "start", "--port", "1"]
    said = subprocess.run(command, capture_output=True, check=True, timeout=60, text=True).stdout
    at_once, arguments, name, path = json.loads(said)
    assert at_once
    assert (arguments, name) == (["start", "--port", "1"], "__main__")
    assert str(START.parent) not in path
