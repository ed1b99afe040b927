"""The running server as the ready file describes it, and its management API as an administrator uses it."""

import json
import os

import requests

ENVIRONMENT = "development"
TIMEOUT_SECONDS = 10


class Server:
    """Reads the ready file, makes sure that the server it names answers, and signs in."""

    def __init__(self) -> None:
        file = os.environ.get("FLAGSTONE_READY_FILE")
        if not file:
            raise RuntimeError(
                "FLAGSTONE_READY_FILE is not set. These tests need a running server: use `cargo xtask test`, "
                "or start `flagstone serve --demo --ready-file FILE` and set FLAGSTONE_READY_FILE=FILE."
            )
        with open(file, encoding="utf-8") as ready:
            facts = json.load(ready)
        if "demo" not in facts:
            raise RuntimeError(f'{file} has no "demo" member: start the server with --demo.')
        self.url: str = facts["url"]
        self._demo = facts["demo"]
        try:
            requests.get(f"{self.url}/health", timeout=TIMEOUT_SECONDS)
        except requests.ConnectionError as error:
            raise RuntimeError(f"No server answers at {self.url}, which {file} names.") from error
        self._cookie = self._sign_in()

    @property
    def client_key(self) -> str:
        return self._demo["keys"][ENVIRONMENT]["client"]

    @property
    def server_key(self) -> str:
        return self._demo["keys"][ENVIRONMENT]["server"]

    def fallthrough(self, flag: str) -> dict:
        """The variant that the flag serves to a caller whom no target and no rule catches."""
        variants = self._management("GET", f"flags/{flag}").json()["variants"]
        key = self._configuration(flag).json()["fallthrough"]["variant"]
        return next(variant for variant in variants if variant["key"] == key)

    def set_enabled(self, flag: str, enabled: bool) -> None:
        current = self._configuration(flag)
        self._management(
            "PUT",
            f"flags/{flag}/environments/{ENVIRONMENT}",
            json={**current.json(), "enabled": enabled},
            headers={"If-Match": current.headers["ETag"]},
        )

    def _sign_in(self) -> str:
        credentials = {"email": self._demo["email"], "password": self._demo["password"]}
        response = requests.post(f"{self.url}/api/auth/login", json=credentials, timeout=TIMEOUT_SECONDS)
        if response.status_code != 200:
            raise RuntimeError(f"sign-in: {response.status_code} {response.text}")
        # By hand: a cookie jar keeps a `Secure` cookie from going out over plain HTTP.
        return response.headers["Set-Cookie"].split(";", 1)[0]

    def _configuration(self, flag: str) -> requests.Response:
        return self._management("GET", f"flags/{flag}/environments/{ENVIRONMENT}")

    def _management(self, method: str, path: str, *, json: dict | None = None, headers: dict | None = None):
        response = requests.request(
            method,
            f"{self.url}/api/management/projects/{self._demo['project']}/{path}",
            json=json,
            headers={"Cookie": self._cookie, **(headers or {})},
            timeout=TIMEOUT_SECONDS,
        )
        if not response.ok:
            raise RuntimeError(f"{method} {path}: {response.status_code} {response.text}")
        return response
