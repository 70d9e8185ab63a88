"""An HTTPS service that receives webhooks and misbehaves as it is told.

usage: webhook_server.py CERT KEY CA SCRIPT
SCRIPT is a list between commas of what the first POST requests get: a status, `STATUS:SECONDS` for one with Retry-After,
`hang`, `close` (after the body was read), `drop` (before anything was). Further ones get 200, or 422 when `poison` is in
the body. Clients have to show a certificate of CA. Prints `listening PORT`, then one JSON line for each request.
"""

import http.server
import json
import socket
import ssl
import sys
import threading
import time

CERT, KEY, CA = sys.argv[1:4]
SCRIPT = [step for step in sys.argv[4].split(",") if step]
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, *headers):
        body = b"said the service\n"
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def note(self, step, body=""):
        peer = self.connection.getpeercert()
        name = dict(part[0] for part in peer["subject"]).get("commonName") if peer else None
        seen = {
            "step": step,
            "time": time.time(),
            "line": self.requestline,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "peer": name,
            "body": body,
        }
        with lock:
            print(json.dumps(seen), flush=True)

    def do_OPTIONS(self):
        self.note("options")
        self.answer(204)

    def do_POST(self):
        with lock:
            step = SCRIPT.pop(0) if SCRIPT else ""
        if step == "drop":
            self.note(step)
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if not step:
            step = "422" if "poison" in body else "200"
        self.note(step, body)
        if step == "hang":
            time.sleep(30)
            self.close_connection = True
        elif step == "close":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        else:
            status, _, pause = step.partition(":")
            headers = [("Retry-After", pause)] if pause else []
            if status.startswith("3"):
                headers.append(("Location", "/elsewhere"))
            self.answer(int(status), *headers)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """What clients do to their connections is theirs to tell."""

    def finish_request(self, request, address):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=CA)
        context.load_cert_chain(CERT, KEY)
        context.verify_mode = ssl.CERT_REQUIRED
        super().finish_request(context.wrap_socket(request, server_side=True), address)


server = Server(("127.0.0.1", 0), Handler)
print(f"listening {server.server_port}", flush=True)
server.serve_forever()
