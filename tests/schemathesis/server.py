"""The server of FLAGSTONE_READY_FILE, as its administrator and its applications see it."""

import json
import os
import pathlib
import urllib.error
import urllib.request

COOKIE = "flagstone_session"


class Server:
    def __init__(self):
        ready = json.loads(pathlib.Path(os.environ["FLAGSTONE_READY_FILE"]).read_text())
        self.url = ready["url"]
        self.demo = ready["demo"]
        self.key = self.demo["keys"]["development"]["server"]

    def send(self, method, path, body=None, headers=None):
        """The answer, whatever its status."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            return urllib.request.urlopen(request, timeout=10)
        except urllib.error.HTTPError as refused:
            return refused

    def ask(self, method, path, body=None, headers=None):
        """The headers and the document of an answer, which has to be a good one."""
        with self.send(method, path, body, headers) as answer:
            assert answer.status == 200, f"{method} {path}: {answer.status} {answer.read()}"
            return answer.headers, json.load(answer)

    def sign_in(self):
        """A new session's token and its id."""
        body = {"email": self.demo["email"], "password": self.demo["password"]}
        headers, answer = self.ask("POST", "/api/auth/login", body)
        name, token = headers["Set-Cookie"].split(";")[0].split("=")
        assert name == COOKIE, name
        return token, answer["session"]["id"]
