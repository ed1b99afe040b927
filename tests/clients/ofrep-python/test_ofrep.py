"""The OpenFeature Python SDK with its OFREP provider, as a service uses it: one request for each evaluation."""

import unittest

from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from server import Server

ADA = EvaluationContext("ada")


def setUpModule() -> None:
    global server
    server = Server()


def tearDownModule() -> None:
    api.shutdown()


def client(key: str) -> OpenFeatureClient:
    """A client with a provider of its own that sends `key`."""
    provider = OFREPProvider(server.url, headers_factory=lambda: {"Authorization": f"Bearer {key}"})
    api.set_provider(provider, domain=key)
    return api.get_client(domain=key)


class Evaluation(unittest.TestCase):
    def setUp(self) -> None:
        self.flags = client(server.server_key)

    def assert_as_managed(self, flag, details) -> None:
        expected = server.fallthrough(flag)
        self.assertIsNone(details.error_code, details.error_message)
        self.assertEqual(details.value, expected["value"])
        self.assertEqual(details.variant, expected["key"])
        self.assertEqual(details.reason, Reason.STATIC)

    def test_string(self) -> None:
        self.assert_as_managed("banner-text", self.flags.get_string_details("banner-text", "default", ADA))

    def test_integer(self) -> None:
        self.assert_as_managed("max-items", self.flags.get_integer_details("max-items", -1, ADA))

    def test_object(self) -> None:
        self.assert_as_managed("theme", self.flags.get_object_details("theme", {"of": "the caller"}, ADA))

    def test_a_rule_decides_by_an_attribute(self) -> None:
        for plan, value, reason in [
            ("free", False, Reason.DEFAULT),
            ("pro", True, Reason.TARGETING_MATCH),
            ("team", True, Reason.TARGETING_MATCH),
        ]:
            with self.subTest(plan=plan):
                context = EvaluationContext("ada", {"plan": plan})
                details = self.flags.get_boolean_details("beta-search", not value, context)
                self.assertIsNone(details.error_code, details.error_message)
                self.assertEqual((details.value, details.reason), (value, reason))

    def test_a_rollout_reaches_its_share_and_nobody_moves(self) -> None:
        people = [EvaluationContext(f"person-{number}") for number in range(400)]
        first = [self.flags.get_boolean_details("new-checkout", False, person) for person in people]
        self.assertEqual({details.error_code for details in first}, {None})
        # 25 % of 400 is 100, give or take 9; the draw is the same in each run.
        self.assertAlmostEqual(sum(details.value for details in first), 100, delta=35)
        second = [self.flags.get_boolean_value("new-checkout", False, person) for person in people]
        self.assertEqual([details.value for details in first], second)

    def test_a_client_key_evaluates_too(self) -> None:
        details = client(server.client_key).get_string_details("banner-text", "default", ADA)
        self.assert_as_managed("banner-text", details)

    def test_a_flip_counts_from_the_next_evaluation_on(self) -> None:
        server.set_enabled("banner-text", False)
        try:
            details = self.flags.get_string_details("banner-text", "default", ADA)
        finally:
            server.set_enabled("banner-text", True)
        self.assertIsNone(details.error_code, details.error_message)
        self.assertEqual(details.reason, Reason.DISABLED)
        self.assertEqual(self.flags.get_string_details("banner-text", "default", ADA).reason, Reason.STATIC)


class Refusal(unittest.TestCase):
    def test_an_unknown_flag_is_not_found(self) -> None:
        details = client(server.server_key).get_boolean_details("nobody-made-this", True, ADA)
        self.assertEqual((details.value, details.error_code), (True, ErrorCode.FLAG_NOT_FOUND))

    def test_another_type_is_a_mismatch(self) -> None:
        details = client(server.server_key).get_boolean_details("banner-text", True, ADA)
        self.assertEqual((details.value, details.error_code), (True, ErrorCode.TYPE_MISMATCH))

    def test_a_wrong_key_is_unauthorized(self) -> None:
        details = client("fs_srv_" + "A" * 43).get_boolean_details("beta-search", True, ADA)
        self.assertEqual((details.value, details.error_code), (True, ErrorCode.GENERAL))
        self.assertEqual(details.error_message, "unauthorized")


if __name__ == "__main__":
    unittest.main()
