"""Runs schemathesis against the server, signed in as its administrator."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from server import COOKIE, Server

FOLDER = pathlib.Path(__file__).parent
KEYS = "/api/management/projects/demo/environments/development/keys"


def main():
    server = Server()
    token, session = server.sign_in()
    cookie = {"Cookie": f"{COOKIE}={token}"}
    _, keys = server.ask("GET", KEYS, headers=cookie)
    surroundings = {
        **os.environ,
        "FLAGSTONE_SESSION": token,
        "FLAGSTONE_SESSION_ID": session,
        "FLAGSTONE_SPARE_SESSIONS": json.dumps([server.sign_in()[0] for _ in range(10)]),
        "FLAGSTONE_KEY": server.key,
        "FLAGSTONE_KEY_IDS": json.dumps([key["id"] for key in keys["data"]]),
        "PYTHONPATH": str(FOLDER),
    }
    program = pathlib.Path(sys.executable).with_name("schemathesis")
    document = server.url + "/api/openapi.json"
    command = [program, "--no-color", "run", *sys.argv[1:], document]
    with tempfile.TemporaryDirectory() as folder:
        surroundings["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        run = subprocess.run(command, cwd=FOLDER, env=surroundings, check=False)
    # A run that lost its session or its key was refused everywhere and has shown little.
    server.ask("GET", "/api/auth/me", headers=cookie)
    server.ask("POST", "/api/v1/evaluate", {}, {"Authorization": f"Bearer {server.key}"})
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
