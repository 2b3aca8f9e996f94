"""A malformed job.toml is refused, by file, table and key: one planted fault per rule.

Each fault: what to replace, by what, and then the table, the key and a part of the message.
"""

import pytest

LAST = 'from = ["pending"]\n'
"""The last line of the file: what replaces it is at the end."""

CELL = "machine.transitions, entry {}"

FAULTS = {
    "unknown state in a transition": (
        '"pending", dest = "active" }',
        '"pending", dest = "running" }',
        CELL.format(1),
        "dest",
        "unknown state 'running' (declared: pending, active, closing, done, closed, =)",
    ),
    "unknown source": (
        'trigger = "finish", source = "active"',
        'trigger = "finish", source = "running"',
        CELL.format(3),
        "source",
        "unknown state 'running'",
    ),
    "unknown event in a transition": (
        'trigger = "finish", source = "active"',
        'trigger = "stop", source = "active"',
        CELL.format(3),
        "trigger",
        "unknown event 'stop' (declared: start, finish, cancel, close, expire)",
    ),
    "unknown initial state": (
        'initial = "pending"',
        'initial = "new"',
        "machine",
        "initial",
        "unknown state 'new'",
    ),
    "second initial state": (
        'initial = "pending"',
        'initial = ["pending", "active"]',
        "machine",
        "initial",
        "there must be exactly one initial state",
    ),
    "second initial state, marked where states are declared": (
        '{ name = "active" }',
        '{ name = "active", initial = true }',
        "machine.states, entry 2",
        "initial",
        "the initial state is named once",
    ),
    "no initial state": (
        'initial = "pending"\n',
        "",
        "machine",
        "initial",
        "is missing",
    ),
    "state declared twice": (
        '{ name = "closing" }',
        '{ name = "active" }',
        "machine",
        "states",
        "state 'active' is declared twice",
    ),
    "exit from a terminal state": (
        '"close",  source = "done",    dest = "="',
        '"close",  source = "done",    dest = "closed"',
        CELL.format(11),
        "source",
        "'done' is final and must not be left",
    ),
    "unreachable state": (
        '{ trigger = "finish", source = "active",  dest = "done" }',
        '{ trigger = "finish", source = "active",  dest = "closed" }',
        "machine",
        "states",
        "state 'done' can't be reached from 'pending'",
    ),
    "state that is never left and not final": (
        '{ name = "done", final = true }',
        '{ name = "done" }',
        "machine",
        "states",
        "state 'done' is never left, so it must be final",
    ),
    "missing cell": (
        'active  = ["start"]\n',
        "",
        "illegal",
        "active",
        "the cell of state 'active' and event 'start' is missing",
    ),
    "cell declared twice, as a transition": (
        '{ trigger = "cancel", source = "closing"',
        '{ trigger = "finish", source = "closing"',
        CELL.format(8),
        "source",
        "the cell of state 'closing' and event 'finish' is declared twice",
    ),
    "cell declared as a transition and illegal": (
        'active  = ["start"]',
        'active  = ["start", "close"]',
        "illegal",
        "active",
        "the cell of state 'active' and event 'close' is declared twice",
    ),
    "event twice in one row": (
        'active  = ["start"]',
        'active  = ["start", "start"]',
        "illegal",
        "active",
        "'start' is given twice",
    ),
    "unknown state among the illegal": (
        'active  = ["start"]',
        'running = ["start"]',
        "illegal",
        "running",
        "unknown state 'running'",
    ),
    "unknown event among the illegal": (
        'active  = ["start"]',
        'active  = ["begin"]',
        "illegal",
        "active",
        "unknown event 'begin'",
    ),
    "no-op that is not written as one": (
        '"close",  source = "done",    dest = "="',
        '"close",  source = "done",    dest = "done"',
        CELL.format(11),
        "dest",
        "a no-op is written '='",
    ),
    "automatic transitions": (
        "auto_transitions = false",
        "auto_transitions = true",
        "machine",
        "auto_transitions",
        "must be false",
    ),
    "key that the reference machine knows and this file may not use": (
        "auto_transitions = false",
        "auto_transitions = false\nqueued = true",
        "machine",
        "queued",
        "unknown key",
    ),
    "state that is no table": (
        '{ name = "active" },',
        '"active",',
        "machine",
        "states",
        "entry 2 must be a table",
    ),
    "unknown key in a state": (
        '{ name = "active" }',
        '{ name = "active", colour = "red" }',
        "machine.states, entry 2",
        "colour",
        "unknown key",
    ),
    "unknown key in a transition": (
        '"pending", dest = "active" }',
        '"pending", dest = "active", unless = "x" }',
        CELL.format(1),
        "unless",
        "unknown key",
    ),
    "unknown table": (
        LAST,
        LAST + "[colours]\n",
        "",
        "colours",
        "unknown key",
    ),
    "unknown property": (
        "[state.active]\n",
        "[state.active]\nvisible = true\n",
        "state.active",
        "visible",
        "unknown key",
    ),
    "missing property": (
        'meaning = "Owns a slot, and its task exists."\npending = false\n',
        'meaning = "Owns a slot, and its task exists."\n',
        "state.active",
        "pending",
        "is missing",
    ),
    "property that is no truth value": (
        'task exists."\npending = false',
        'task exists."\npending = "no"',
        "state.active",
        "pending",
        "must be true or false, not 'no'",
    ),
    "state without a meaning": (
        "[state.active]\n",
        "[state.other]\n",
        "state",
        "active",
        "is missing",
    ),
    "meaning of a state that is not declared": (
        LAST,
        LAST + '[state.other]\nmeaning = "?"\n',
        "state",
        "other",
        "unknown state 'other'",
    ),
    "blank meaning": (
        'meaning = "A slot was given to the job."',
        'meaning = " "',
        "event.start",
        "meaning",
        "must not be blank",
    ),
    "meaning that is no text": (
        'meaning = "A slot was given to the job."',
        "meaning = 1",
        "event.start",
        "meaning",
        "must be a string, not 1",
    ),
    "outcome of an event that does not end the job": (
        'event = "cancel"\nfrom = ["active", "closing"]',
        'event = "close"\nfrom = ["active", "closing"]',
        "outcome.cancelled",
        "from",
        "in state 'active' the event 'close' does not end the job",
    ),
    "end without an outcome": (
        'event = "cancel"\nfrom = ["active", "closing"]',
        'event = "cancel"\nfrom = ["closing"]',
        "outcome",
        "",
        "the end of a job by 'cancel' in state 'active' has no outcome",
    ),
    "key given twice": (
        'initial = "pending"',
        'initial = "pending"\ninitial = "active"',
        "",
        "",
        "is not TOML: Cannot overwrite a value",
    ),
    "table declared twice": (
        LAST,
        LAST + "[event.start]\n",
        "",
        "",
        "is not TOML: Cannot declare ('event', 'start') twice",
    ),
    "broken syntax": (
        "auto_transitions = false",
        "auto_transitions = ",
        "",
        "",
        "is not TOML: Invalid value",
    ),
}


@pytest.mark.parametrize("fault", [*FAULTS.values()], ids=[*FAULTS])
def test_a_planted_fault_is_refused_by_file_table_and_key(refused, fault):
    refused("job.toml", *fault)
