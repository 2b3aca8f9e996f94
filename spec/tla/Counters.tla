---------------------------------------------- MODULE Counters -----------------------------------------------
\* Generated from spec/scheduler.toml by `make generate`. Do not edit: change the source and regenerate.
\*
\* The scheduler as counters: who starts, who waits, who is refused, without asking which job it is.
\* spec/README.md says how to read it. Invariants are proved for all L and P; a model checker needs bounds.

EXTENDS Integers

\* The limit: how many jobs may hold a slot at the same time. Means nothing if `unlimited`.
CONSTANT L
ASSUME L \in Int /\ L >= 1

\* The pending limit: how many jobs may wait for a slot before `spawn` blocks. 0 means any number.
CONSTANT P
ASSUME P \in Int /\ P >= 0

\* Whether there is no limit at all (`limit=None`).
CONSTANT unlimited
ASSUME unlimited \in BOOLEAN

VARIABLES phase, pending, active, closing, blocked

vars == <<phase, pending, active, closing, blocked>>

\* The slots in use.
running == active + closing

\* There is a free slot.
free == unlimited \/ running < L

\* There is a free place in the queue.
room == P = 0 \/ pending < P

--------------------------------------------------------------------------------------------------------------
\* actions

Init ==
    /\ phase = "open"
    /\ pending = 0
    /\ active = 0
    /\ closing = 0
    /\ blocked = 0

\* A call of `spawn` finds a free slot: its job starts at once.
spawn_start ==
    /\ phase = "open" /\ free /\ pending = 0
    /\ active' = active + 1
    /\ UNCHANGED <<phase, pending, closing, blocked>>

\* A call of `spawn` finds no free slot but a place in the queue: its job waits.
spawn_queue ==
    /\ phase = "open" /\ ~free /\ room /\ blocked = 0
    /\ pending' = pending + 1
    /\ UNCHANGED <<phase, active, closing, blocked>>

\* A call of `spawn` finds neither: it waits. (`spawn_nowait` raises instead, and nothing changes.)
spawn_block ==
    /\ phase = "open" /\ ~free /\ ~room
    /\ blocked' = blocked + 1
    /\ UNCHANGED <<phase, pending, active, closing>>

\* The caller of a blocked `spawn` is cancelled.
give_up ==
    /\ blocked > 0
    /\ blocked' = blocked - 1
    /\ UNCHANGED <<phase, pending, active, closing>>

\* The coroutine of an active job ends. Nobody waits, so its slot becomes free.
end_active_idle ==
    /\ active > 0 /\ pending = 0
    /\ active' = active - 1
    /\ UNCHANGED <<phase, pending, closing, blocked>>

\* The coroutine of an active job ends. The head of the queue starts in its slot.
end_active_next ==
    /\ active > 0 /\ pending > 0 /\ blocked = 0
    /\ pending' = pending - 1
    /\ UNCHANGED <<phase, active, closing, blocked>>

\* The coroutine of an active job ends. The head of the queue starts, and the first blocked call gets its
\* place.
end_active_refill ==
    /\ active > 0 /\ blocked > 0
    /\ blocked' = blocked - 1
    /\ UNCHANGED <<phase, pending, active, closing>>

\* The coroutine of a closing job ends. Nobody waits, so its slot becomes free.
end_closing_idle ==
    /\ closing > 0 /\ pending = 0
    /\ closing' = closing - 1
    /\ UNCHANGED <<phase, pending, active, blocked>>

\* The coroutine of a closing job ends. The head of the queue starts in its slot.
end_closing_next ==
    /\ closing > 0 /\ pending > 0 /\ blocked = 0
    /\ closing' = closing - 1
    /\ active' = active + 1
    /\ pending' = pending - 1
    /\ UNCHANGED <<phase, blocked>>

\* The coroutine of a closing job ends. The head of the queue starts, and the first blocked call gets its
\* place.
end_closing_refill ==
    /\ closing > 0 /\ blocked > 0
    /\ closing' = closing - 1
    /\ active' = active + 1
    /\ blocked' = blocked - 1
    /\ UNCHANGED <<phase, pending>>

\* An active job is asked to stop. It keeps its slot.
close_active ==
    /\ active > 0
    /\ active' = active - 1
    /\ closing' = closing + 1
    /\ UNCHANGED <<phase, pending, blocked>>

\* A pending job is closed. Its place in the queue becomes free.
close_pending ==
    /\ pending > 0 /\ blocked = 0
    /\ pending' = pending - 1
    /\ UNCHANGED <<phase, active, closing, blocked>>

\* A pending job is closed. The first blocked call gets its place, at the end of the queue.
close_pending_refill ==
    /\ blocked > 0
    /\ blocked' = blocked - 1
    /\ UNCHANGED <<phase, pending, active, closing>>

\* The scheduler begins to close: pending jobs are dropped, blocked calls refused, active jobs asked to stop.
shutdown ==
    /\ phase = "open"
    /\ phase' = "closing"
    /\ pending' = 0
    /\ active' = 0
    /\ closing' = closing + active
    /\ blocked' = 0

\* Closing is over: nothing is running any more, or the deadline has passed.
settle ==
    /\ phase = "closing"
    /\ phase' = "closed"
    /\ UNCHANGED <<pending, active, closing, blocked>>

Next ==
    \/ spawn_start
    \/ spawn_queue
    \/ spawn_block
    \/ give_up
    \/ end_active_idle
    \/ end_active_next
    \/ end_active_refill
    \/ end_closing_idle
    \/ end_closing_next
    \/ end_closing_refill
    \/ close_active
    \/ close_pending
    \/ close_pending_refill
    \/ shutdown
    \/ settle

Spec == Init /\ [][Next]_vars

--------------------------------------------------------------------------------------------------------------
\* invariants

TypeOK ==
    /\ phase \in {"open", "closing", "closed"}
    /\ pending \in Int
    /\ active \in Int
    /\ closing \in Int
    /\ blocked \in Int

\* No count is ever negative.
never_negative ==
    pending >= 0 /\ active >= 0 /\ closing >= 0 /\ blocked >= 0

\* Never more running jobs than the limit allows.
within_limit ==
    (~unlimited) => (running <= L)

\* Never a free slot beside a waiting job.
no_idle_slot ==
    (pending > 0) => (phase = "open" /\ ~free)

\* Never more pending jobs than the pending limit allows.
within_pending_limit ==
    (P > 0) => (pending <= P)

\* A call of `spawn` is blocked only while the queue is full.
blocked_only_when_full ==
    (blocked > 0) => (P > 0 /\ pending = P)

\* From the moment closing begins nobody waits to start, and every running job was asked to stop.
quiet_after_close ==
    (phase # "open") => (pending = 0 /\ blocked = 0 /\ active = 0)

Invariant ==
    /\ TypeOK
    /\ never_negative
    /\ within_limit
    /\ no_idle_slot
    /\ within_pending_limit
    /\ blocked_only_when_full
    /\ quiet_after_close

==============================================================================================================
