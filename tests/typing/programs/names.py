"""Every public name of the package is known to a type checker, and no other is."""

import aiojobs

PUBLIC: tuple[object, ...] = (
    aiojobs.BlockedSpawn,
    aiojobs.Event,
    aiojobs.ExceptionContext,
    aiojobs.ExceptionHandler,
    aiojobs.IllegalTransition,
    aiojobs.Job,
    aiojobs.JobClosed,
    aiojobs.JobSnapshot,
    aiojobs.Location,
    aiojobs.Observer,
    aiojobs.Outcome,
    aiojobs.PendingQueueFull,
    aiojobs.Phase,
    aiojobs.PhaseEvent,
    aiojobs.Record,
    aiojobs.Scheduler,
    aiojobs.ShutdownReport,
    aiojobs.Snapshot,
    aiojobs.State,
    aiojobs.Tally,
    aiojobs.TaskSnapshot,
    aiojobs.Wait,
)
aiojobs.Schedular()  # error: mypy[attr-defined] pyright[reportAttributeAccessIssue, reportUnknownMemberType]
