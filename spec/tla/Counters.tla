---------------------------------------------- MODULE Counters -----------------------------------------------
\* Generated from spec/scheduler.toml by `make generate`. Do not edit: change the source and regenerate.
\*
\* The scheduler as counters: who starts, who waits, who is refused, without asking which job it is.
\* spec/README.md says how to read it. Invariants are proved for all L and P; a model checker needs bounds.

EXTENDS Integers

\* The limit at the beginning: how many jobs may hold a slot at the same time. 0 means any number.
CONSTANT L0
ASSUME L0 \in Int /\ L0 >= 0

\* The pending limit: how many jobs may wait for a slot before `spawn` blocks. 0 means any number.
CONSTANT P
ASSUME P \in Int /\ P >= 0

\* The limit that is set. 0 means any number. A model checker needs to know which values are tried.
CONSTANT n_values
ASSUME \A n \in n_values : n \in Int /\ n >= 0

VARIABLES phase, pending, active, closing, blocked, L

vars == <<phase, pending, active, closing, blocked, L>>

\* There is no limit at all (`limit=None`).
unlimited == L = 0

\* The slots in use.
running == active + closing

\* There is a free slot.
free == unlimited \/ running < L

\* Too many run: more than the limit allows since it was lowered.
over == ~unlimited /\ running > L

\* There is a free place in the queue.
room == P = 0 \/ pending < P

\* How many of those who wait get a slot when the limit becomes n: all, or as many as it allows.
fits(n) == IF n = 0 \/ running + pending + blocked <= n THEN pending + blocked ELSE n - running

\* How many blocked calls get a place in the queue then: each start leaves one.
moves_up(n) == IF fits(n) < blocked THEN fits(n) ELSE blocked

--------------------------------------------------------------------------------------------------------------
\* actions

Init ==
    /\ phase = "open"
    /\ pending = 0
    /\ active = 0
    /\ closing = 0
    /\ blocked = 0
    /\ L = L0

\* A call of `spawn` finds a free slot: its job starts at once.
spawn_start ==
    /\ phase = "open" /\ free /\ pending = 0
    /\ active' = active + 1
    /\ UNCHANGED <<phase, pending, closing, blocked, L>>

\* A call of `spawn` finds no free slot but a place in the queue: its job waits.
spawn_queue ==
    /\ phase = "open" /\ ~free /\ room /\ blocked = 0
    /\ pending' = pending + 1
    /\ UNCHANGED <<phase, active, closing, blocked, L>>

\* A call of `spawn` finds neither: it waits. (`spawn_nowait` raises instead, and nothing changes.)
spawn_block ==
    /\ phase = "open" /\ ~free /\ ~room
    /\ blocked' = blocked + 1
    /\ UNCHANGED <<phase, pending, active, closing, L>>

\* The caller of a blocked `spawn` is cancelled.
give_up ==
    /\ blocked > 0
    /\ blocked' = blocked - 1
    /\ UNCHANGED <<phase, pending, active, closing, L>>

\* The coroutine of an active job ends. Nobody waits, or too many run: nothing starts.
end_active_idle ==
    /\ active > 0 /\ (pending = 0 \/ over)
    /\ active' = active - 1
    /\ UNCHANGED <<phase, pending, closing, blocked, L>>

\* The coroutine of an active job ends. The head of the queue starts in its slot.
end_active_next ==
    /\ active > 0 /\ pending > 0 /\ blocked = 0 /\ ~over
    /\ pending' = pending - 1
    /\ UNCHANGED <<phase, active, closing, blocked, L>>

\* The coroutine of an active job ends. The head of the queue starts, and the first blocked call gets its
\* place.
end_active_refill ==
    /\ active > 0 /\ blocked > 0 /\ ~over
    /\ blocked' = blocked - 1
    /\ UNCHANGED <<phase, pending, active, closing, L>>

\* The coroutine of a closing job ends. Nobody waits, or too many run: nothing starts.
end_closing_idle ==
    /\ closing > 0 /\ (pending = 0 \/ over)
    /\ closing' = closing - 1
    /\ UNCHANGED <<phase, pending, active, blocked, L>>

\* The coroutine of a closing job ends. The head of the queue starts in its slot.
end_closing_next ==
    /\ closing > 0 /\ pending > 0 /\ blocked = 0 /\ ~over
    /\ closing' = closing - 1
    /\ active' = active + 1
    /\ pending' = pending - 1
    /\ UNCHANGED <<phase, blocked, L>>

\* The coroutine of a closing job ends. The head of the queue starts, and the first blocked call gets its
\* place.
end_closing_refill ==
    /\ closing > 0 /\ blocked > 0 /\ ~over
    /\ closing' = closing - 1
    /\ active' = active + 1
    /\ blocked' = blocked - 1
    /\ UNCHANGED <<phase, pending, L>>

\* An active job is asked to stop, by somebody or because its time is over. It keeps its slot.
close_active ==
    /\ active > 0
    /\ active' = active - 1
    /\ closing' = closing + 1
    /\ UNCHANGED <<phase, pending, blocked, L>>

\* A pending job is closed. Its place in the queue becomes free.
close_pending ==
    /\ pending > 0 /\ blocked = 0
    /\ pending' = pending - 1
    /\ UNCHANGED <<phase, active, closing, blocked, L>>

\* A pending job is closed. The first blocked call gets its place, at the end of the queue.
close_pending_refill ==
    /\ blocked > 0
    /\ blocked' = blocked - 1
    /\ UNCHANGED <<phase, pending, active, closing, L>>

\* The limit is set. Nobody starts: nobody waits, or it leaves no free slot.
set_limit_idle(n) ==
    /\ n # L /\ (pending = 0 \/ (n > 0 /\ running >= n))
    /\ L' = n
    /\ UNCHANGED <<phase, pending, active, closing, blocked>>

\* The limit is raised or removed. As many of those who wait start as fit, in order, and blocked calls move
\* up.
set_limit_start(n) ==
    /\ n # L /\ pending > 0 /\ (n = 0 \/ running < n)
    /\ L' = n
    /\ active' = active + fits(n)
    /\ pending' = pending - fits(n) + moves_up(n)
    /\ blocked' = blocked - moves_up(n)
    /\ UNCHANGED <<phase, closing>>

\* The scheduler begins to close: pending jobs are dropped, blocked calls refused, active jobs asked to stop.
shutdown ==
    /\ phase = "open"
    /\ phase' = "closing"
    /\ pending' = 0
    /\ active' = 0
    /\ closing' = closing + active
    /\ blocked' = 0
    /\ UNCHANGED <<L>>

\* Closing is over: nothing is running any more, or the deadline has passed.
settle ==
    /\ phase = "closing"
    /\ phase' = "closed"
    /\ UNCHANGED <<pending, active, closing, blocked, L>>

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
    \/ \E n \in n_values : set_limit_idle(n)
    \/ \E n \in n_values : set_limit_start(n)
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
    /\ L \in Int

\* No count is ever negative.
never_negative ==
    pending >= 0 /\ active >= 0 /\ closing >= 0 /\ blocked >= 0 /\ L >= 0

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
    /\ no_idle_slot
    /\ within_pending_limit
    /\ blocked_only_when_full
    /\ quiet_after_close

==============================================================================================================
