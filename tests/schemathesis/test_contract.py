"""Asks every operation of the document once, with its own example, and holds the answer against it."""

import json
import unittest

import jsonschema_rs
import openapi_spec_validator

from server import COOKIE, Server

# These end what the others stand on, so they come last, the innermost first.
LAST = ["revoke_key", "delete_segment", "delete_flag", "delete_environment", "delete_project", "logout"]
# The examples of these cannot be right: a password, a token, a session's id, figures that are not served.
REFUSED = {
    "setup": 409,
    "login": 401,
    "change_password": 422,
    "end_own_session": 404,
    "dismiss_unknown_flag": 404,
    "metrics": 404,
}
# An example of what is made by another operation's example.
MADE = {"delete_environment": {"environment": "preview"}, "delete_project": {"project": "shop"}}


class Operation:
    def __init__(self, path, method, definition):
        self.path = path
        self.method = method.upper()
        self.name = definition["operationId"]
        self.definition = definition

    def is_stream(self):
        return "text/event-stream" in self.definition["responses"].get("200", {}).get("content", {})

    def order(self):
        rank = ["GET", "POST", "PUT", "DELETE"].index(self.method)
        # A segment is made before one is read.
        rank = 1 if self.name == "get_segment" else rank
        return (LAST.index(self.name) + 1 if self.name in LAST else 0, rank, self.path)


def closed(schema, part=False):
    """The schema, with every member that it does not name refused. A part of another schema leaves that to it."""
    if isinstance(schema, list):
        return [closed(one, part) for one in schema]
    if not isinstance(schema, dict):
        return schema
    whole = "properties" in schema
    parts = ("allOf", "anyOf", "oneOf") if whole else ()
    schema = {name: closed(value, name in parts) for name, value in schema.items()}
    if whole and not part and "additionalProperties" not in schema:
        schema["unevaluatedProperties"] = False
    return schema


class Contract(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        token, _ = cls.server.sign_in()
        cls.credentials = {
            "session": {"Cookie": f"{COOKIE}={token}"},
            "bearer_key": {"Authorization": f"Bearer {cls.server.key}"},
        }
        _, cls.document = cls.server.ask("GET", "/api/openapi.json")
        cls.operations = sorted(
            (
                Operation(path, method, definition)
                for path, methods in cls.document["paths"].items()
                for method, definition in methods.items()
            ),
            key=Operation.order,
        )
        cls.made = dict(MADE)

    def test_z_every_operation_answers_as_documented(self):
        """The last, since it deletes what the others use."""
        asked = 0
        for operation in self.operations:
            if operation.is_stream():
                continue
            asked += 1
            with self.subTest(operation.name):
                self.ask(operation)
        self.assertGreater(asked, 40)

    def test_the_document_is_one_of_openapi(self):
        openapi_spec_validator.validate(self.document)

    def test_a_trace_is_as_documented(self):
        body = {"context": {"targetingKey": "user-1", "plan": "pro"}}
        path = "/api/v1/evaluate?trace=true"
        _, answer = self.server.ask("POST", path, body, self.credentials["bearer_key"])
        self.assertTrue(all(flag["trace"]["steps"] for flag in answer["flags"].values()))
        response = self.document["paths"]["/api/v1/evaluate"]["post"]["responses"]["200"]
        schema = response["content"]["application/json"]["schema"]
        jsonschema_rs.validate(closed(self.bundle(schema)), answer)

    def test_events_are_as_documented(self):
        bulk = "/ofrep/v1/evaluate/flags"
        _, answer = self.server.ask("POST", bulk, {}, self.credentials["bearer_key"])
        token = answer["eventStreams"][0]["endpoint"]["requestUri"]
        for path, sent, headers in [
            ("/api/v1/stream", "/api/v1/stream", self.credentials["bearer_key"]),
            ("/ofrep/v1/events", token, {}),
        ]:
            with self.subTest(path), self.server.send("GET", sent, headers=headers) as stream:
                self.assertEqual(stream.status, 200)
                content = self.document["paths"][path]["get"]["responses"]["200"]["content"]
                kind = stream.headers["Content-Type"]
                schema = content[kind]["schema"]["x-event-data"]
                self.assertEqual(stream.readline(), b": connected\n")
                self.switch("banner-text")
                data = next(line for line in stream if line.startswith(b"data: "))
                jsonschema_rs.validate(closed(schema), json.loads(data.removeprefix(b"data: ")))

    def switch(self, flag):
        path = f"/api/management/projects/demo/flags/{flag}/environments/development"
        session = self.credentials["session"]
        headers, config = self.server.ask("GET", path, headers=session)
        config["enabled"] = not config["enabled"]
        self.server.ask("PUT", path, config, {**session, "If-Match": headers["ETag"]})

    def ask(self, operation):
        path, headers, query = operation.path, {}, []
        for parameter in operation.definition["parameters"]:
            name, example = parameter["name"], parameter["example"]
            example = self.made.get(operation.name, {}).get(name, example)
            if parameter["in"] == "path":
                path = path.replace("{" + name + "}", example)
            elif parameter["in"] == "header":
                headers[name] = example
            else:
                query.append(f"{name}={json.dumps(example).strip(chr(34))}")
        for scheme in operation.definition["security"][:1]:
            headers |= self.credentials[next(iter(scheme))]
        body = None
        if "requestBody" in operation.definition:
            content = operation.definition["requestBody"]["content"]["application/json"]
            body = content["example"]
            jsonschema_rs.validate(self.bundle(content["schema"]), body)
        if operation.name == "reorder_environments":
            body["environments"].append("preview")
        with self.server.send(operation.method, path + "?" + "&".join(query), body, headers) as answer:
            self.check(operation, answer)

    def check(self, operation, answer):
        text = answer.read()
        responses = operation.definition["responses"]
        wanted = REFUSED.get(operation.name) or next(int(status) for status in responses if status[0] == "2")
        self.assertEqual(answer.status, wanted, text)
        response = self.resolve(responses[str(answer.status)])
        for name, header in response.get("headers", {}).items():
            if self.resolve(header).get("required"):
                self.assertIn(name, answer.headers)
        self.assertIn("X-Request-Id", answer.headers)
        if "content" not in response:
            self.assertEqual(text, b"")
            return
        kind = answer.headers["Content-Type"].split(";")[0]
        schema, document = response["content"][kind]["schema"], json.loads(text)
        if kind == "application/problem+json":
            jsonschema_rs.validate(self.bundle(schema), document)
            self.assertIn(document["code"], schema["properties"]["code"]["examples"])
        else:
            jsonschema_rs.validate(closed(self.bundle(schema)), document)
        if operation.name == "create_key":
            self.made["revoke_key"] = {"id": document["id"]}

    def bundle(self, schema):
        """A schema that its references are found from."""
        return {**schema, "components": {"schemas": self.document["components"]["schemas"]}}

    def resolve(self, value):
        if "$ref" not in value:
            return value
        found = self.document
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return found


if __name__ == "__main__":
    unittest.main()
