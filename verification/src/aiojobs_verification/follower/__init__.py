"""The follower: turns the records of a scheduler into actions of `scheduler.toml`, and refuses the others."""

from aiojobs_verification.follower.follower import Follower
from aiojobs_verification.follower.rules import RULES, FollowerRule
from aiojobs_verification.follower.table import ActionTable
from aiojobs_verification.follower.violation import CRASH, Violation

__all__ = ["CRASH", "RULES", "ActionTable", "Follower", "FollowerRule", "Violation"]
