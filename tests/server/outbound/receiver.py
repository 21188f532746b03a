"""A receiver of webhooks, as a program of its own: verifies signatures, answers as told, writes down what came.

    python receiver.py FOLDER SECRET PORT

FOLDER/behaviour.json, read at each request: {"status": 200, "drip": false, "headers": {}, "answers": 3}; after so many
answers it only listens, until it behaves otherwise. What came goes to FOLDER/received.jsonl, one line each. Prints its
port.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from standardwebhooks import Webhook, WebhookVerificationError

FOLDER, SECRET, PORT = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])


def behaviour():
    file = FOLDER / "behaviour.json"
    return json.loads(file.read_text()) if file.exists() else {}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        told = behaviour()
        status = told.get("status", 200)
        try:
            Webhook(SECRET).verify(body, dict(self.headers))
            genuine = True
        except WebhookVerificationError:
            genuine = False
        line = {
            "path": self.path,
            "id": self.headers["webhook-id"],
            "genuine": genuine,
            "status": status,
            "body": json.loads(body),
        }
        with (FOLDER / "received.jsonl").open("a+") as out:
            out.write(json.dumps(line) + "\n")
            out.seek(0)
            came = len(out.readlines())
        while came > behaviour().get("answers", came):
            time.sleep(0.02)
        if told.get("drip"):
            for piece in b"HTTP/1.1 200 OK\r\n" + b"x-slow: yes\r\n" * 100:
                time.sleep(0.05)
                self.wfile.write(bytes([piece]))
                self.wfile.flush()
        self.send_response(status)
        for name, value in told.get("headers", {}).items():
            self.send_header(name, value)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):  # the sender has lost patience
            self.close_connection = True


class Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True


server = Server(("127.0.0.1", PORT), Handler)
print(server.server_port, flush=True)
server.serve_forever()
