"""Sentry without its service: what would be sent is kept."""

import sentry_sdk
from sentry_sdk.transport import Transport

from compat.tools import Tool


class Kept(Transport):
    """Takes what the SDK would send over the network."""

    def __init__(self, options=None):
        super().__init__(options)
        self.items = []

    def capture_envelope(self, envelope):
        self.items.extend(envelope.items)

    def payloads(self, kind):
        """The payloads of one kind of item, in the order in which they were sent."""
        return [item.payload.json for item in self.items if item.type == kind]

    @property
    def errors(self):
        """Each error that was reported: the text of the exception, and who noticed it."""
        events = [payload for payload in self.payloads("event") if "exception" in payload]
        raised = [event["exception"]["values"][-1] for event in events]
        return [(exception["value"], exception["mechanism"]["type"]) for exception in raised]

    @property
    def spans(self):
        """Name of the transaction, and the names of the spans in it."""
        return {
            payload["transaction"]: [span["description"] for span in payload["spans"]]
            for payload in self.payloads("transaction")
        }


DSN = "https://key@sentry.invalid/1"
"""A place that does not exist; nothing is sent there."""


class Sentry(Tool):
    """`sentry_sdk.init` as the first thing in the running loop, as its page on asyncio says."""

    reports_failures = True
    renames_tasks = True

    def __init__(self, *integrations):
        self._integrations = integrations

    async def program(self, main):
        self.kept = Kept()
        sentry_sdk.init(
            dsn=DSN, transport=self.kept, traces_sample_rate=1.0, integrations=[*self._integrations]
        )
        # init() sets an integration up once per process, and this one belongs to a loop.
        sentry_sdk.integrations.asyncio.enable_asyncio_integration()
        await main()

    async def failures(self):
        return [text for text, noticed_by in self.kept.errors if noticed_by == "asyncio"]
