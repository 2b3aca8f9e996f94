"""Expectations that are wrong on purpose: the check has to notice each. See ../test_programs.py."""

from aiojobs import Scheduler

Scheduler(limit=1)  # error: mypy[call-arg] pyright[reportCallIssue]
Scheduler(limt=1)
Scheduler(limt=2)  # error: mypy[arg-type] pyright[reportArgumentType]
Scheduler(limt=3)  # error: mypy[call-arg]
Scheduler(limt=4)  # error: mypy[call-arg] pyright[reportCallIssue]
