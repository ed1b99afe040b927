"""Keeps the run from sawing off what it sits on: the demonstration's project, keys and session."""

import itertools
import json
import os
import re

import schemathesis

SESSION_ID = os.environ["FLAGSTONE_SESSION_ID"]
# Sessions that may be ended. Sign-ins fail once the run has tried wrong passwords, so they were opened before it.
SPARE_SESSIONS = itertools.cycle(json.loads(os.environ["FLAGSTONE_SPARE_SESSIONS"]))
VERSION = re.compile('(W/)?"[0-9]{1,19}"')
NOTHING = "0198c2f6-0000-7000-8000-000000000000"

# What must outlive the run, by the operation that would end it and its parameter.
KEPT = {
    "delete_project": ("project", {"demo"}, "nothing"),
    "delete_environment": ("environment", {"development"}, "nothing"),
    "revoke_key": ("id", set(json.loads(os.environ["FLAGSTONE_KEY_IDS"])), NOTHING),
    "end_own_session": ("id", {SESSION_ID}, NOTHING),
}


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = case.operation.definition.raw["operationId"]
    if operation in KEPT:
        name, kept, instead = KEPT[operation]
        if case.path_parameters.get(name) in kept:
            case.path_parameters[name] = instead
    # A version that is made up is refused before anything else is looked at.
    if VERSION.fullmatch((case.headers or {}).get("If-Match", "")):
        case.headers["If-Match"] = "*"
    if operation == "logout" and "flagstone_session" in (case.cookies or {}):
        case.cookies["flagstone_session"] = next(SPARE_SESSIONS)
