------------------------------------------------ MODULE Faults -----------------------------------------------
(************************************************************************************************************)
(* Seeded faults: what a checker of Jobs.tla must find.  Each is a wrong variant of an operator of Jobs;     *)
(* a fault_*.cfg puts it in the place of the right one and names the rule that it breaks.  A fault that is   *)
(* not found is a failure of the check.                                                                      *)
(************************************************************************************************************)
EXTENDS Jobs

(* fault_lifo: the last one in the line is served first. *)
FirstIsLast(line) == line[Len(line)]
RestWithoutLast(line) == SubSeq(line, 1, Len(line) - 1)

(* fault_one_too_many: the limit is off by one. *)
FreeOneTooMany == taken <= limit

(* fault_queue_too_long: so is the pending limit. *)
RoomForOneMore == Len(queue) <= P

(* fault_slot_left_free: a slot is given back although a job waits for it. *)
LeaveNextAsIdle(j, how) ==
    /\ Leaves(j, how) /\ queue # <<>> /\ blocked = <<>>
    /\ taken' = taken - 1
    /\ call' = CallsAfter(call, j, how)
    /\ state' = [state EXCEPT ![j] = StateAfter(j, how)]
    /\ code' = [code EXCEPT ![j] = CodeAfter(j, how)]
    /\ Conclude({j})
    /\ UNCHANGED <<phase, limit, queue, blocked, late>>

(* fault_place_left_free: a place in the queue becomes free, and the blocked call does not get it. *)
ClosePendingRefillLeavesPlace(j, how) ==
    /\ state[j] = "pending" /\ Drops(j, how) /\ blocked # <<>>
    /\ queue' = Without(queue, j)
    /\ call' = CallsAfter(call, j, how)
    /\ state' = [state EXCEPT ![j] = "closed"]
    /\ code' = [code EXCEPT ![j] = "dropped"]
    /\ Conclude({j})
    /\ UNCHANGED <<phase, limit, taken, blocked, late>>

(* fault_blocks_too_early: a call is blocked although the queue has a place. *)
SpawnBlockBeforeFull(j) ==
    /\ NextCall(j) /\ phase = "open" /\ ~free
    /\ blocked' = Append(blocked, j)
    /\ call' = [call EXCEPT ![j] = "blocked"]
    /\ code' = [code EXCEPT ![j] = "fresh"]
    /\ UNCHANGED <<phase, limit, taken, queue, state, late, telling, waiting>>

(* fault_slot_released_early: when a job is asked to stop, instead of when it has ended. *)
CloseActiveReleases(j) ==
    /\ state[j] = "active" /\ code[j] = "running"
    /\ taken' = taken - 1
    /\ state' = [state EXCEPT ![j] = "closing"]
    /\ UNCHANGED <<phase, limit, queue, blocked, call, code, late, telling, waiting>>

(* fault_slot_released_twice: by the one who closed the job, and by the end of the job. *)
EndClosingIdleTwice(j, how) ==
    /\ state[j] = "closing" /\ Leaves(j, how) /\ queue = <<>>
    /\ taken' = taken - 2
    /\ call' = CallsAfter(call, j, how)
    /\ state' = [state EXCEPT ![j] = StateAfter(j, how)]
    /\ code' = [code EXCEPT ![j] = CodeAfter(j, how)]
    /\ Conclude({j})
    /\ UNCHANGED <<phase, limit, queue, blocked, late>>

(* fault_slot_leaks: a job that is closed before its spawn returns keeps its slot for ever. *)
EndActiveIdleLeaks(j, how) ==
    /\ state[j] = "active" /\ Leaves(j, how) /\ queue = <<>>
    /\ taken' = IF CodeAfter(j, how) = "dropped" THEN taken ELSE taken - 1
    /\ call' = CallsAfter(call, j, how)
    /\ state' = [state EXCEPT ![j] = StateAfter(j, how)]
    /\ code' = [code EXCEPT ![j] = CodeAfter(j, how)]
    /\ Conclude({j})
    /\ UNCHANGED <<phase, limit, queue, blocked, late>>

(* fault_cancelled_spawn_runs: the caller is cancelled after its job was accepted, and the job stays. *)
WithdrawLeavesJob(j) ==
    /\ call[j] = "arriving"
    /\ call' = [call EXCEPT ![j] = "withdrawn"]
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, state, code, late, telling, waiting>>

(* fault_runs_before_return: a job is started although its caller has yet to resume, and may be cancelled. *)
BegunAtOnce(codes, j) == [codes EXCEPT ![j] = "running"]

(* fault_call_stays_outside: a cancelled call keeps its place among the blocked ones. *)
GiveUpStays(j) ==
    /\ call[j] = "blocked"
    /\ call' = [call EXCEPT ![j] = "withdrawn"]
    /\ code' = [code EXCEPT ![j] = "dropped"]
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, state, late, telling, waiting>>

(* fault_arrives_after_close: a call that resumes after closing has begun returns its job. *)
ArriveAlways(j) ==
    /\ call[j] = "arriving"
    /\ call' = [call EXCEPT ![j] = "returned"]
    /\ code' = IF state[j] = "active" THEN [code EXCEPT ![j] = "running"] ELSE code
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, state, late, telling, waiting>>

(* fault_blocked_after_close: closing forgets the calls outside. *)
ShutdownLeavesBlocked ==
    /\ phase = "open"
    /\ phase' = "closing"
    /\ queue' = <<>>
    /\ state' = [j \in Jobs |->
            IF state[j] = "pending" THEN "closed" ELSE IF state[j] = "active" THEN "closing" ELSE state[j]]
    /\ code' = [j \in Jobs |-> IF state[j] = "pending" THEN "dropped" ELSE code[j]]
    /\ Conclude(Pending)
    /\ UNCHANGED <<limit, taken, blocked, call, late>>

(* fault_queue_after_close: closing forgets the queue, whose jobs then start. *)
ShutdownLeavesQueue ==
    /\ phase = "open"
    /\ phase' = "closing"
    /\ blocked' = <<>>
    /\ call' = [j \in Jobs |-> IF call[j] = "blocked" THEN "arriving" ELSE call[j]]
    /\ state' = [j \in Jobs |-> IF state[j] = "active" THEN "closing" ELSE state[j]]
    /\ code' = [j \in Jobs |-> IF call[j] = "blocked" THEN "dropped" ELSE code[j]]
    /\ Conclude({})
    /\ UNCHANGED <<limit, taken, queue, late>>

(* fault_starts_after_close: spawn does not look at the phase. *)
SpawnStartAlways(j) ==
    /\ NextCall(j) /\ free /\ queue = <<>>
    /\ taken' = taken + 1
    /\ call' = [call EXCEPT ![j] = "returned"]
    /\ state' = [state EXCEPT ![j] = "active"]
    /\ code' = [code EXCEPT ![j] = "running"]
    /\ UNCHANGED <<phase, limit, queue, blocked, late, telling, waiting>>

(* fault_closed_pending_runs: a pending job that is closed runs, to be told of its cancellation. *)
ClosePendingRuns(j, how) ==
    /\ state[j] = "pending" /\ Drops(j, how) /\ blocked = <<>>
    /\ queue' = Without(queue, j)
    /\ call' = CallsAfter(call, j, how)
    /\ state' = [state EXCEPT ![j] = "closed"]
    /\ code' = [code EXCEPT ![j] = "cancelled"]
    /\ Conclude({j})
    /\ UNCHANGED <<phase, limit, taken, blocked, late>>

(* fault_closed_job_stays_queued: a pending job that is closed keeps its place in the queue. *)
ClosePendingStays(j, how) ==
    /\ state[j] = "pending" /\ Drops(j, how) /\ blocked = <<>>
    /\ call' = CallsAfter(call, j, how)
    /\ state' = [state EXCEPT ![j] = "closed"]
    /\ code' = [code EXCEPT ![j] = "dropped"]
    /\ Conclude({j})
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, late>>

(* fault_ended_job_closes: closing a job that has ended changes its state. *)
CloseActiveOrDone(j) ==
    /\ state[j] \in {"active", "done"}
    /\ state' = [state EXCEPT ![j] = "closing"]
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, call, code, late, telling, waiting>>

(* fault_waiter_cancels_job: cancelling who waits for a job cancels the job, as `await task` does. *)
CancelWaiterAndJob(c) ==
    /\ waiter[c] \in {"waiting", "stopping", "expired", "watching", "woken"}
    /\ waiter' = [waiter EXCEPT ![c] = "leaving"]
    /\ state' = IF state[on[c]] = "active" THEN [state EXCEPT ![on[c]] = "closing"] ELSE state
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, call, code, late, telling, on>>

(* fault_slot_freed_at_deadline: when the caller of close runs out of time, the job is taken for closed. *)
ExpireClosesJob(c) ==
    /\ waiter[c] \in {"waiting", "stopping", "watching"}
    /\ waiter' = [waiter EXCEPT ![c] = "leaving"]
    /\ state' = IF state[on[c]] = "closing" THEN [state EXCEPT ![on[c]] = "closed"] ELSE state
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, call, code, late, telling, on>>

(* fault_waiter_not_woken: the end of a job wakes nobody. *)
ConcludeSilently(ended) ==
    /\ told' = [j \in Jobs |->
            IF j \in ended /\ code'[j] \in Failures /\ Audience(j) = {} THEN told[j] + 1 ELSE told[j]]
    /\ UNCHANGED <<received, waiter, on>>

(* fault_exception_lost: to have been woken counts as having received, even for a caller that is cancelled. *)
LeaveQuietly(c, j) == UNCHANGED <<received, told>>

(* fault_exception_twice: the handler is told although somebody is about to receive the exception. *)
ConcludeLoudly(ended) ==
    /\ waiter' = [c \in Callers |->
            IF on[c] \notin ended THEN waiter[c]
            ELSE IF waiter[c] \in {"waiting", "stopping"} THEN "woken"
            ELSE IF waiter[c] = "watching" THEN "leaving"
            ELSE waiter[c]]
    /\ told' = [j \in Jobs |-> IF j \in ended /\ code'[j] = "raised" THEN told[j] + 1 ELSE told[j]]
    /\ UNCHANGED <<received, on>>

(* fault_wakeup_lost: a caller whose job has got a slot before it resumed is never resumed. *)
ArriveOnlyPending(j) ==
    /\ call[j] = "arriving" /\ phase = "open" /\ state[j] = "pending"
    /\ call' = [call EXCEPT ![j] = "returned"]
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, state, code, late, telling, waiting>>

(* fault_refusal_lost: a call that was blocked when closing began is never told. *)
RefuseNever(j) == FALSE

(* fault_end_unseen: the end of a coroutine is overlooked while others wait for its slot. *)
LeaveNextNever(j, how) == FALSE

(* fault_failed_is_stopped: closing asks a job to stop that has failed, and ends by that. *)
ShutdownStopsFailed ==
    /\ phase = "open"
    /\ phase' = "closing"
    /\ queue' = <<>>
    /\ blocked' = <<>>
    /\ call' = [j \in Jobs |-> IF call[j] = "blocked" THEN "arriving" ELSE call[j]]
    /\ state' = [j \in Jobs |->
            IF state[j] = "pending" THEN "closed" ELSE IF state[j] = "active" THEN "closing" ELSE state[j]]
    /\ code' = [j \in Jobs |-> IF state[j] = "pending" \/ call[j] = "blocked" THEN "dropped" ELSE code[j]]
    /\ Conclude(Pending)
    /\ UNCHANGED <<limit, taken, late>>

(* fault_waits_for_ever: closing has a deadline, and does not keep it. *)
SettleOnlyWhenIdle ==
    /\ phase = "closing" /\ Running = {}
    /\ phase' = "closed"
    /\ UNCHANGED <<limit, taken, queue, blocked, call, state, code, late, telling, waiting>>

(* fault_closing_never_over: nothing ends it, not even that nothing runs any more. *)
SettleNever == FALSE

(* fault_late_untold: at the deadline nobody is reported. *)
SettleSilently ==
    /\ phase = "closing" /\ (Running # {} => Deadline)
    /\ phase' = "closed"
    /\ UNCHANGED <<limit, taken, queue, blocked, call, state, code, late, telling, waiting>>

(* fault_queued_job_runs: a job that waits for a slot runs meanwhile. *)
SpawnQueueRuns(j) ==
    /\ NextCall(j) /\ phase = "open" /\ ~free /\ room /\ blocked = <<>>
    /\ queue' = Append(queue, j)
    /\ call' = [call EXCEPT ![j] = "returned"]
    /\ state' = [state EXCEPT ![j] = "pending"]
    /\ code' = [code EXCEPT ![j] = "running"]
    /\ UNCHANGED <<phase, limit, taken, blocked, late, telling, waiting>>

(* fault_answers_twice: a call that has returned its job is cancelled all the same. *)
WithdrawReturned(j) ==
    /\ call[j] \in {"arriving", "returned"} /\ j \notin Books
    /\ call' = [call EXCEPT ![j] = "withdrawn"]
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, state, code, late, telling, waiting>>

(* fault_reports_the_punctual: at the deadline jobs are reported that stopped in time. *)
SettleReportsAll ==
    /\ phase = "closing" /\ (Running # {} => Deadline)
    /\ phase' = "closed"
    /\ late' = [j \in Jobs |-> IF state[j] \in Holding \cup {"closed"} THEN late[j] + 1 ELSE late[j]]
    /\ UNCHANGED <<limit, taken, queue, blocked, call, state, code, telling, waiting>>

(* fault_lowering_stops: whoever runs beyond the limit is asked to stop. *)
SetLimitStops(n) ==
    /\ n # limit /\ (queue = <<>> \/ (n > 0 /\ taken >= n))
    /\ limit' = n
    /\ state' = [j \in Jobs |-> IF state[j] = "active" /\ n > 0 /\ taken > n THEN "closing" ELSE state[j]]
    /\ UNCHANGED <<phase, taken, queue, blocked, call, code, late, telling, waiting>>

(* fault_raising_lifo: who came last starts first. *)
StartLast(n) == Members(RestOf(Line, Len(Line) - Fits(n)))

(* fault_raising_starts_one, fault_raising_starts_all: as many start as an end lets in, or as wait. *)
FitsOne(n) == 1
FitsAll(n) == Len(Line)

(* fault_raising_leaves_places: blocked calls stay where they are, although jobs have left the queue. *)
MovesUpNobody(n) == {}

(* fault_raising_after_close: what runs is counted anew. *)
SetLimitForgets(n) ==
    /\ n # limit /\ (queue = <<>> \/ (n > 0 /\ taken >= n))
    /\ limit' = n
    /\ taken' = IF phase = "open" THEN taken ELSE 0
    /\ UNCHANGED <<phase, queue, blocked, call, state, code, late, telling, waiting>>

(* fault_end_starts_over: an end does not look at the limit, but hands its slot on. *)
NeverOver == FALSE

(* fault_time_out_cancelled: by whom a job was asked to stop makes no difference. *)
CodeAfterByAnybody(j, how) == IF how \in {"closed", "withdrawn"} THEN "dropped" ELSE how

(* fault_time_out_closes_the_closing: that somebody has asked before makes no difference. *)
ExpireAsked(j) ==
    /\ Timed /\ state[j] \in Holding /\ code[j] = "running"
    /\ state' = [state EXCEPT ![j] = "closing"]
    /\ code' = [code EXCEPT ![j] = "overdue"]
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, call, late, telling, waiting>>

(* fault_time_out_not_closing: the coroutine is told, and the job is not. *)
ExpireStaysActive(j) ==
    /\ Timed /\ state[j] = "active" /\ code[j] = "running"
    /\ code' = [code EXCEPT ![j] = "overdue"]
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, call, state, late, telling, waiting>>

(* fault_time_out_frees_slot: somebody else gets the slot although the job goes on. *)
ExpireReleases(j) ==
    /\ Timed /\ state[j] = "active" /\ code[j] = "running"
    /\ taken' = taken - 1
    /\ state' = [state EXCEPT ![j] = "closing"]
    /\ code' = [code EXCEPT ![j] = "overdue"]
    /\ UNCHANGED <<phase, limit, queue, blocked, call, late, telling, waiting>>

(* fault_time_out_lost: nobody waits for a job that has timed out, and the handler is not told either. *)
ConcludeForgetsTime(ended) ==
    /\ waiter' = [c \in Callers |->
            IF on[c] \notin ended THEN waiter[c]
            ELSE IF Watches(waiter[c], code'[on[c]]) THEN "leaving"
            ELSE IF waiter[c] \in {"waiting", "stopping"} THEN "woken"
            ELSE waiter[c]]
    /\ told' = [j \in Jobs |->
            IF j \in ended /\ code'[j] = "raised" /\ Audience(j) = {} THEN told[j] + 1 ELSE told[j]]
    /\ UNCHANGED <<received, on>>

(* fault_time_out_twice: the handler is told at once, whoever waits. *)
ConcludeTellsTime(ended) ==
    /\ waiter' = [c \in Callers |->
            IF on[c] \notin ended THEN waiter[c]
            ELSE IF Watches(waiter[c], code'[on[c]]) THEN "leaving"
            ELSE IF waiter[c] \in {"waiting", "stopping"} THEN "woken"
            ELSE waiter[c]]
    /\ told' = [j \in Jobs |-> IF j \in ended /\ code'[j] \in Failures THEN told[j] + 1 ELSE told[j]]
    /\ UNCHANGED <<received, on>>

(* fault_time_out_received_by_closing: who closes is woken like who waits. *)
WatchesOnly(mode, codeAfter) == mode = "watching"

(* fault_late_twice: closing reports whoever runs, also whom somebody has reported before. *)
SettleReportsAgain ==
    /\ phase = "closing" /\ (Running # {} => Deadline)
    /\ \A j \in Running : code[j] \in Going
    /\ phase' = "closed"
    /\ late' = [j \in Jobs |-> IF j \in Running THEN late[j] + 1 ELSE late[j]]
    /\ UNCHANGED <<limit, taken, queue, blocked, call, state, code, telling, waiting>>

==============================================================================================================
