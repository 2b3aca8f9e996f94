"""A malformed list of requirements or assumptions is refused, by file, table and key: one fault per rule.

Each fault: what to replace, by what, and then the table, the key and a part of the message.
"""

import pytest

REQUIREMENTS = {
    "duplicate id": (
        'id = "LIMIT-2"',
        'id = "LIMIT-1"',
        "requirement, entry 2",
        "id",
        "the id 'LIMIT-1' is given twice",
    ),
    "id of another form": (
        'id = "LIMIT-2"',
        'id = "limit two"',
        "requirement, entry 2",
        "id",
        "'limit two' doesn't have the form",
    ),
    "requirement without a goal": (
        'goal = "What works for ten jobs works for ten thousand."\n',
        "",
        "requirement COST-1",
        "goal",
        "is missing",
    ),
    "unknown key of a requirement": (
        'id = "COST-1"\n',
        'id = "COST-1"\nowner = "me"\n',
        "requirement COST-1",
        "owner",
        "unknown key",
    ),
    "check of an unknown kind": (
        'checks = ["test"]\n',
        'checks = ["hope"]\n',
        "requirement COST-1",
        "checks",
        "unknown kind of check 'hope' (declared: prove, model,",
    ),
    "check given twice": (
        'checks = ["test"]\n',
        'checks = ["test", "test"]\n',
        "requirement COST-1",
        "checks",
        "'test' is given twice",
    ),
    "no check at all": (
        'checks = ["test"]\n',
        "checks = []\n",
        "requirement COST-1",
        "checks",
        "must not be empty",
    ),
    "checks that are no texts": (
        'checks = ["test"]\n',
        "checks = [1]\n",
        "requirement COST-1",
        "checks",
        "must be an array of strings",
    ),
    "claim of a proof that nothing speaks for": (
        'checks = ["test"]\n',
        'checks = ["prove", "test"]\n',
        "requirement COST-1",
        "checks",
        "'prove' is listed, but no statement of scheduler.toml speaks for 'COST-1'",
    ),
    "kind without a meaning": (
        "[kind.prove]\n",
        "[kind.faith]\n[kind.prove]\n",
        "kind.faith",
        "meaning",
        "is missing",
    ),
}

ASSUMPTIONS = {
    "duplicate id": (
        'id = "CANCEL-ONCE"',
        'id = "LOOP-FIFO"',
        "assumption, entry 3",
        "id",
        "the id 'LOOP-FIFO' is given twice",
    ),
    "unknown subject": (
        'id = "LOOP-FIFO"\nabout = "asyncio"',
        'id = "LOOP-FIFO"\nabout = "luck"',
        "assumption LOOP-FIFO",
        "about",
        "unknown subject 'luck' (declared: asyncio, user code, checks)",
    ),
    "nobody said what breaks": (
        'without = "Two callers could take the same slot."\n',
        "",
        "assumption LOOP-ONE-THREAD",
        "without",
        "is missing",
    ),
    "unknown key": (
        'id = "LOOP-FIFO"\n',
        'id = "LOOP-FIFO"\nsince = 2\n',
        "assumption LOOP-FIFO",
        "since",
        "unknown key",
    ),
}


@pytest.mark.parametrize("fault", [*REQUIREMENTS.values()], ids=[*REQUIREMENTS])
def test_a_planted_fault_in_the_requirements_is_refused(refused, fault):
    refused("requirements.toml", *fault)


@pytest.mark.parametrize("fault", [*ASSUMPTIONS.values()], ids=[*ASSUMPTIONS])
def test_a_planted_fault_in_the_assumptions_is_refused(refused, fault):
    refused("assumptions.toml", *fault)
