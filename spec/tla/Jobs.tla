------------------------------------------------- MODULE Jobs ------------------------------------------------
(************************************************************************************************************)
(* The scheduler with named jobs: who is first, whose call was cancelled, who waits for whom, who was told.  *)
(*                                                                                                          *)
(* Counters.tla says how many jobs run and wait, for every limit.  It knows no order and no names.  This     *)
(* module has both, and refines Counters: each of its actions either is the action of the same name there,   *)
(* or changes none of the counters (the last section says so, and TLC checks it).                            *)
(*                                                                                                          *)
(* Jobs are numbered 1, 2, 3 ... in the order in which `spawn` was called, blocked calls included.  A rule   *)
(* that says "first come, first served" can therefore speak of the order of arrival without looking at any   *)
(* queue.  A queue that is served from the wrong end obeys every rule about its own order.                   *)
(*                                                                                                          *)
(* README.md beside this file explains the variables, what is left out, and how to run this.  Operators with *)
(* the name of a requirement (LIMIT_1 for LIMIT-1) state what spec/requirements.toml promises; a suffix      *)
(* tells the kind: none for what holds in every state, _Step for every step, another word for what must      *)
(* happen in the end.                                                                                        *)
(************************************************************************************************************)
EXTENDS Integers, Sequences, FiniteSets

CONSTANTS
    N,          \* how many calls of spawn there are
    W,          \* how many callers of wait and close there are
    L,          \* the limit at the beginning; 0 means any number
    Limits,     \* what the limit can be set to
    P,          \* the pending limit; 0 means any number
    Timed,      \* whether jobs can have a time limit
    Deadline,   \* whether closing has a deadline (close_timeout is a number)
    Ends        \* in which ways coroutines can end, of the three below

ASSUME N \in Nat /\ W \in Nat /\ L \in Nat /\ P \in Nat /\ Limits \subseteq Nat
ASSUME Timed \in BOOLEAN /\ Deadline \in BOOLEAN
ASSUME Ends # {} /\ Ends \subseteq {"returned", "raised", "cancelled"}

Jobs == 1 .. N
Callers == 1 .. W

VARIABLES
    phase,      \* of the scheduler: open, closing, closed
    limit,      \* how many jobs may hold a slot at the same time; 0 means any number
    taken,      \* how many slots are taken, by the scheduler's own count
    queue,      \* the jobs that wait for a slot, the next one first
    blocked,    \* the calls of spawn that wait for a place in the queue, the next one first
    call,       \* what has become of each call of spawn
    state,      \* the state of each job, as in spec/job.toml; none before it is accepted
    code,       \* the coroutine of each job
    received,   \* whether a caller that was waiting when the job failed has received its exception
    told,       \* how often the handler was told of the job's failure
    late,       \* how often the handler was told that the job did not stop in time
    waiter,     \* what each caller does
    on          \* the job that each caller waits for; 0 for none

spawning == <<phase, limit, taken, queue, blocked, call, state, code>>
telling == <<received, told>>
waiting == <<waiter, on>>
vars == <<phase, limit, taken, queue, blocked, call, state, code, received, told, late, waiter, on>>

(*--------------------------------------------------------------------------------------------------------*)
(* A call of spawn is                                                                                       *)
(*   none       not made yet                                                                                *)
(*   blocked    waiting for a place in the queue                                                            *)
(*   arriving   woken: its job was accepted, or closing began; the caller resumes a pass later, and may     *)
(*              still be cancelled before that                                                              *)
(*   returned, withdrawn (its caller was cancelled), refused (it raised RuntimeError)                       *)
(*                                                                                                          *)
(* A coroutine is                                                                                           *)
(*   none       not there yet                                                                               *)
(*   fresh      has not run                                                                                 *)
(*   running                                                                                                *)
(*   overdue    runs, and was asked to stop because its time was over, by nobody else before                *)
(*   failed     has raised, and the scheduler has yet to see it                                             *)
(*   dropped    closed without having run                                                                   *)
(*   returned, raised, cancelled   ended in this way                                                        *)
(*   timed_out  cancelled because its time was over: to whoever waits, a failure                            *)
(*                                                                                                          *)
(* A caller of wait or close is                                                                             *)
(*   idle       not there yet                                                                               *)
(*   waiting    for the outcome of its job                                                                  *)
(*   stopping   the same, having asked the job to stop                                                      *)
(*   expired    a wait whose timeout has passed: resumes a pass later, and asks a job that goes on to stop  *)
(*   watching   what it does then: wait on, for the end only                                                *)
(*   woken      by the end of its job; resumes a pass later, and may still be cancelled before that         *)
(*   leaving    cancelled, out of time, or at the end of watching: resumes a pass later, without the outcome *)
(*   answered                                                                                               *)
(*--------------------------------------------------------------------------------------------------------*)
CallStates == {"none", "blocked", "arriving", "returned", "withdrawn", "refused"}
Answers == {"returned", "withdrawn", "refused"}
JobStates == {"pending", "active", "closing", "done", "closed"}
Holding == {"active", "closing"}
Final == {"done", "closed"}
Codes == {"none", "fresh", "running", "overdue", "failed", "dropped", "returned", "raised", "cancelled", "timed_out"}
Going == {"running", "overdue"}
Failures == {"raised", "timed_out"}
Modes == {"idle", "waiting", "stopping", "expired", "watching", "woken", "leaving", "answered"}

Pending == {j \in Jobs : state[j] = "pending"}
Active == {j \in Jobs : state[j] = "active"}
Closing == {j \in Jobs : state[j] = "closing"}
Running == {j \in Jobs : state[j] \in Holding}
Books == Pending \cup Running

(* For whose sake a failure of a job is held back from the handler, until one of them has received it. *)
Audience(j) == {c \in Callers : on[c] = j}

unlimited == limit = 0
free == ~unlimited => taken < limit
over == ~unlimited /\ taken > limit
room == P > 0 => Len(queue) < P

(* Who is next, and who stays.  The only places that read an order. *)
First(line) == Head(line)
Rest(line) == Tail(line)
FirstOf(line, number) == SubSeq(line, 1, number)
RestOf(line, number) == SubSeq(line, number + 1, Len(line))
Without(line, j) == SelectSeq(line, LAMBDA i : i # j)
Members(line) == {line[i] : i \in 1 .. Len(line)}

----------------------------------------------------------------------------------------------------------
(* Parts of actions. *)

(* The next call of spawn: calls are made in the order of their numbers. *)
NextCall(j) == call[j] = "none" /\ \A i \in 1 .. j - 1 : call[i] # "none"
NextCaller(c) == waiter[c] = "idle" /\ \A d \in 1 .. c - 1 : waiter[d] # "idle"

(* A job that is given a slot runs at once, unless its caller has yet to resume. *)
Begun(codes, j) == IF call[j] = "returned" THEN [codes EXCEPT ![j] = "running"] ELSE codes

(* In which ways a job can leave its slot: its coroutine ends, or is dropped because it was never to run.   *)
(* The latter comes about for a job whose spawn has not returned: it is closed, or its spawn is cancelled.  *)
(* A failure is seen a pass after it has happened, so that a caller who comes in between receives it.       *)
Leaves(j, how) ==
    \/ how \in Ends \ {"raised"} /\ code[j] \in Going
    \/ how = "raised" /\ code[j] = "failed"
    \/ how \in {"closed", "withdrawn"} /\ code[j] = "fresh"

CodeAfter(j, how) ==
    IF how \in {"closed", "withdrawn"} THEN "dropped"
    ELSE IF how = "cancelled" /\ code[j] = "overdue" THEN "timed_out"
    ELSE how
StateAfter(j, how) == IF how \in {"returned", "raised"} /\ state[j] = "active" THEN "done" ELSE "closed"
CallsAfter(calls, j, how) == IF how = "withdrawn" THEN [calls EXCEPT ![j] = "withdrawn"] ELSE calls

(* A pending job can be closed by anybody, or taken back by the cancellation of its spawn. *)
Drops(j, how) == how = "closed" \/ (how = "withdrawn" /\ call[j] = "arriving")

Admitted(calls, j) == [calls EXCEPT ![j] = "arriving"]

(* Who waits for no more than the end of a job that ends so: that its time was over is no news to who closes. *)
Watches(mode, codeAfter) == mode = "watching" \/ (mode = "stopping" /\ codeAfter = "timed_out")

(* The jobs of a set have ended.  Their callers are woken.  A failure is held back as long as somebody may   *)
(* receive it, and goes to the handler if there is nobody. *)
Conclude(ended) ==
    /\ waiter' = [c \in Callers |->
            IF on[c] \notin ended THEN waiter[c]
            ELSE IF Watches(waiter[c], code'[on[c]]) THEN "leaving"
            ELSE IF waiter[c] \in {"waiting", "stopping"} THEN "woken"
            ELSE waiter[c]]
    /\ told' = [j \in Jobs |->
            IF j \in ended /\ code'[j] \in Failures /\ Audience(j) = {} THEN told[j] + 1 ELSE told[j]]
    /\ UNCHANGED <<received, on>>

----------------------------------------------------------------------------------------------------------
(* Calls of spawn. *)

spawn_start(j) ==
    /\ NextCall(j) /\ phase = "open" /\ free /\ queue = <<>>
    /\ taken' = taken + 1
    /\ call' = [call EXCEPT ![j] = "returned"]
    /\ state' = [state EXCEPT ![j] = "active"]
    /\ code' = [code EXCEPT ![j] = "running"]
    /\ UNCHANGED <<phase, limit, queue, blocked, late, telling, waiting>>

spawn_queue(j) ==
    /\ NextCall(j) /\ phase = "open" /\ ~free /\ room /\ blocked = <<>>
    /\ queue' = Append(queue, j)
    /\ call' = [call EXCEPT ![j] = "returned"]
    /\ state' = [state EXCEPT ![j] = "pending"]
    /\ code' = [code EXCEPT ![j] = "fresh"]
    /\ UNCHANGED <<phase, limit, taken, blocked, late, telling, waiting>>

spawn_block(j) ==
    /\ NextCall(j) /\ phase = "open" /\ ~free /\ ~room
    /\ blocked' = Append(blocked, j)
    /\ call' = [call EXCEPT ![j] = "blocked"]
    /\ code' = [code EXCEPT ![j] = "fresh"]
    /\ UNCHANGED <<phase, limit, taken, queue, state, late, telling, waiting>>

(* A call that is made after closing has begun. *)
spawn_refuse(j) ==
    /\ NextCall(j) /\ phase # "open"
    /\ call' = [call EXCEPT ![j] = "refused"]
    /\ code' = [code EXCEPT ![j] = "dropped"]
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, state, late, telling, waiting>>

(* The caller of a blocked spawn is cancelled. *)
give_up(j) ==
    /\ call[j] = "blocked"
    /\ blocked' = Without(blocked, j)
    /\ call' = [call EXCEPT ![j] = "withdrawn"]
    /\ code' = [code EXCEPT ![j] = "dropped"]
    /\ UNCHANGED <<phase, limit, taken, queue, state, late, telling, waiting>>

(* The caller of a spawn that was blocked resumes, and has its job. *)
arrive(j) ==
    /\ call[j] = "arriving" /\ phase = "open"
    /\ call' = [call EXCEPT ![j] = "returned"]
    /\ code' = IF state[j] = "active" THEN [code EXCEPT ![j] = "running"] ELSE code
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, state, late, telling, waiting>>

(* It resumes, but closing has begun: it raises. *)
refuse(j) ==
    /\ call[j] = "arriving" /\ phase # "open" /\ state[j] \notin Holding
    /\ call' = [call EXCEPT ![j] = "refused"]
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, state, code, late, telling, waiting>>

(* It is cancelled before it resumes, and its job is over already.  (If it is not, the job is taken back:    *)
(* that is one of the actions below, with "withdrawn" for how.) *)
withdraw(j) ==
    /\ call[j] = "arriving" /\ j \notin Books
    /\ call' = [call EXCEPT ![j] = "withdrawn"]
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, state, code, late, telling, waiting>>

----------------------------------------------------------------------------------------------------------
(* A coroutine raises.  What follows from that follows when the scheduler sees it. *)
fail(j) ==
    /\ "raised" \in Ends /\ code[j] \in Going
    /\ code' = [code EXCEPT ![j] = "failed"]
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, call, state, late, telling, waiting>>

(* A running job leaves its slot.  Three variants: nobody waits for the slot, or too many run; a job does;   *)
(* and a call does as well.  What follows happens in the same step. *)

LeaveIdle(j, how) ==
    /\ Leaves(j, how) /\ (queue = <<>> \/ over)
    /\ taken' = taken - 1
    /\ call' = CallsAfter(call, j, how)
    /\ state' = [state EXCEPT ![j] = StateAfter(j, how)]
    /\ code' = [code EXCEPT ![j] = CodeAfter(j, how)]
    /\ Conclude({j})
    /\ UNCHANGED <<phase, limit, queue, blocked, late>>

LeaveNext(j, how) ==
    /\ Leaves(j, how) /\ queue # <<>> /\ blocked = <<>> /\ ~over
    /\ queue' = Rest(queue)
    /\ call' = CallsAfter(call, j, how)
    /\ state' = [state EXCEPT ![j] = StateAfter(j, how), ![First(queue)] = "active"]
    /\ code' = [Begun(code, First(queue)) EXCEPT ![j] = CodeAfter(j, how)]
    /\ Conclude({j})
    /\ UNCHANGED <<phase, limit, taken, blocked, late>>

LeaveRefill(j, how) ==
    /\ Leaves(j, how) /\ blocked # <<>> /\ ~over
    /\ queue' = Append(Rest(queue), First(blocked))
    /\ blocked' = Rest(blocked)
    /\ call' = Admitted(CallsAfter(call, j, how), First(blocked))
    /\ state' = [state EXCEPT ![j] = StateAfter(j, how),
                              ![First(queue)] = "active",
                              ![First(blocked)] = "pending"]
    /\ code' = [Begun(code, First(queue)) EXCEPT ![j] = CodeAfter(j, how)]
    /\ Conclude({j})
    /\ UNCHANGED <<phase, limit, taken, late>>

end_active_idle(j, how) == state[j] = "active" /\ LeaveIdle(j, how)
end_active_next(j, how) == state[j] = "active" /\ LeaveNext(j, how)
end_active_refill(j, how) == state[j] = "active" /\ LeaveRefill(j, how)
end_closing_idle(j, how) == state[j] = "closing" /\ LeaveIdle(j, how)
end_closing_next(j, how) == state[j] = "closing" /\ LeaveNext(j, how)
end_closing_refill(j, how) == state[j] = "closing" /\ LeaveRefill(j, how)

----------------------------------------------------------------------------------------------------------
(* A job is asked to stop.  For one that is closing or has ended that changes nothing, and is no step; one    *)
(* that has failed unseen is seen to have ended. *)

close_active(j) ==
    /\ state[j] = "active" /\ code[j] = "running"
    /\ state' = [state EXCEPT ![j] = "closing"]
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, call, code, late, telling, waiting>>

(* Its time is over, if it has a limit: it is asked to stop, unless somebody has asked before.  If it goes on  *)
(* for too long, that is reported, once. *)
expire_active(j) ==
    /\ Timed /\ state[j] = "active" /\ code[j] = "running"
    /\ state' = [state EXCEPT ![j] = "closing"]
    /\ code' = [code EXCEPT ![j] = "overdue"]
    /\ UNCHANGED <<phase, limit, taken, queue, blocked, call, late, telling, waiting>>

report_late(j) ==
    /\ Deadline /\ code[j] = "overdue" /\ late[j] = 0
    /\ late' = [late EXCEPT ![j] = 1]
    /\ UNCHANGED <<spawning, telling, waiting>>

close_pending(j, how) ==
    /\ state[j] = "pending" /\ Drops(j, how) /\ blocked = <<>>
    /\ queue' = Without(queue, j)
    /\ call' = CallsAfter(call, j, how)
    /\ state' = [state EXCEPT ![j] = "closed"]
    /\ code' = [code EXCEPT ![j] = "dropped"]
    /\ Conclude({j})
    /\ UNCHANGED <<phase, limit, taken, blocked, late>>

close_pending_refill(j, how) ==
    /\ state[j] = "pending" /\ Drops(j, how) /\ blocked # <<>>
    /\ queue' = Append(Without(queue, j), First(blocked))
    /\ blocked' = Rest(blocked)
    /\ call' = Admitted(CallsAfter(call, j, how), First(blocked))
    /\ state' = [state EXCEPT ![j] = "closed", ![First(blocked)] = "pending"]
    /\ code' = [code EXCEPT ![j] = "dropped"]
    /\ Conclude({j})
    /\ UNCHANGED <<phase, limit, taken, late>>

----------------------------------------------------------------------------------------------------------
(* The limit is set to n; 0 is no limit.  As many of those who wait start as fit, jobs first, then the calls,  *)
(* which get the places that are left by those who start. *)

Least(m, n) == IF m < n THEN m ELSE n
Line == queue \o blocked
Fits(n) == IF n = 0 THEN Len(Line) ELSE Least(n - taken, Len(Line))
Start(n) == Members(FirstOf(Line, Fits(n)))
MovesUp(n) == Members(FirstOf(blocked, Least(Fits(n), Len(blocked))))

set_limit_idle(n) ==
    /\ n # limit /\ (queue = <<>> \/ (n > 0 /\ taken >= n))
    /\ limit' = n
    /\ UNCHANGED <<phase, taken, queue, blocked, call, state, code, late, telling, waiting>>

set_limit_start(n) ==
    /\ n # limit /\ queue # <<>> /\ (n = 0 \/ taken < n)
    /\ limit' = n
    /\ taken' = taken + Fits(n)
    /\ queue' = FirstOf(RestOf(Line, Fits(n)), Len(queue) + Cardinality(MovesUp(n)) - Fits(n))
    /\ blocked' = RestOf(blocked, Cardinality(MovesUp(n)))
    /\ call' = [j \in Jobs |-> IF j \in MovesUp(n) THEN "arriving" ELSE call[j]]
    /\ state' = [j \in Jobs |->
            IF j \in Start(n) THEN "active" ELSE IF j \in MovesUp(n) THEN "pending" ELSE state[j]]
    /\ code' = [j \in Jobs |-> IF j \in Start(n) THEN Begun(code, j)[j] ELSE code[j]]
    /\ UNCHANGED <<phase, late, telling, waiting>>

----------------------------------------------------------------------------------------------------------
(* The scheduler closes.  A job that has a slot but not its caller yet becomes closing here and leaves in a  *)
(* step of its own, one that has failed unseen stays as it is and is seen in a step of its own; the library  *)
(* does all that in one callback. *)

shutdown ==
    /\ phase = "open"
    /\ phase' = "closing"
    /\ queue' = <<>>
    /\ blocked' = <<>>
    /\ call' = [j \in Jobs |-> IF call[j] = "blocked" THEN "arriving" ELSE call[j]]
    /\ state' = [j \in Jobs |->
            IF state[j] = "pending" THEN "closed"
            ELSE IF state[j] = "active" /\ code[j] # "failed" THEN "closing"
            ELSE state[j]]
    /\ code' = [j \in Jobs |-> IF state[j] = "pending" \/ call[j] = "blocked" THEN "dropped" ELSE code[j]]
    /\ Conclude(Pending)
    /\ UNCHANGED <<limit, taken, late>>

(* Closing is over: nothing runs, or the deadline has passed, and what still runs is reported, unless it was  *)
(* before.  What has failed is seen before that, and what is to be dropped was dropped when closing began. *)
settle ==
    /\ phase = "closing" /\ (Running # {} => Deadline)
    /\ \A j \in Running : code[j] \in Going
    /\ phase' = "closed"
    /\ late' = [j \in Jobs |-> IF j \in Running /\ late[j] = 0 THEN 1 ELSE late[j]]
    /\ UNCHANGED <<limit, taken, queue, blocked, call, state, code, telling, waiting>>

----------------------------------------------------------------------------------------------------------
(* Callers of wait and close. *)

Comes(c, j, mode) ==
    /\ waiter' = [waiter EXCEPT ![c] = mode]
    /\ on' = [on EXCEPT ![c] = j]
    /\ UNCHANGED <<spawning, telling, late>>

(* Whoever asks a running job to stop waits for its end.  What has failed, or is to be dropped, ends by that *)
(* in a step of its own. *)
IsAsked(j) == state[j] = "closing" \/ (state[j] = "active" /\ code[j] \in {"failed", "fresh"})

wait(c, j) ==
    /\ NextCaller(c) /\ j \in Books
    /\ Comes(c, j, "waiting")

stop(c, j) ==
    /\ NextCaller(c) /\ IsAsked(j)
    /\ Comes(c, j, "stopping")

cancel_waiter(c) ==
    /\ waiter[c] \in {"waiting", "stopping", "expired", "watching", "woken"}
    /\ waiter' = [waiter EXCEPT ![c] = "leaving"]
    /\ UNCHANGED <<spawning, late, telling, on>>

(* The caller's time is over; a failure that has not been seen yet is still in time, and is seen first. *)
expire(c) ==
    /\ waiter[c] \in {"waiting", "stopping", "watching"} /\ code[on[c]] # "failed"
    /\ waiter' = [waiter EXCEPT ![c] = IF @ = "waiting" THEN "expired" ELSE "leaving"]
    /\ UNCHANGED <<spawning, late, telling, on>>

watch(c) ==
    /\ waiter[c] = "expired" /\ IsAsked(on[c])
    /\ waiter' = [waiter EXCEPT ![c] = "watching"]
    /\ UNCHANGED <<spawning, late, telling, on>>

(* A caller that was woken by the end of its job has the outcome now; who leaves makes room for the handler, *)
(* if nobody else can have a failure and nobody has had it. *)
Receive(c, j) ==
    /\ received' = IF code[j] \in Failures THEN [received EXCEPT ![j] = TRUE] ELSE received
    /\ UNCHANGED told

Leave(c, j) ==
    /\ told' = IF code[j] \in Failures /\ ~received[j] /\ Audience(j) = {c}
               THEN [told EXCEPT ![j] = @ + 1] ELSE told
    /\ UNCHANGED received

resume(c) ==
    /\ waiter[c] \in {"woken", "leaving"} \/ (waiter[c] = "expired" /\ on[c] \notin Books)
    /\ IF waiter[c] = "woken" THEN Receive(c, on[c]) ELSE Leave(c, on[c])
    /\ waiter' = [waiter EXCEPT ![c] = "answered"]
    /\ on' = [on EXCEPT ![c] = 0]
    /\ UNCHANGED <<spawning, late>>

----------------------------------------------------------------------------------------------------------
Init ==
    /\ phase = "open"
    /\ limit = L
    /\ taken = 0
    /\ queue = <<>>
    /\ blocked = <<>>
    /\ call = [j \in Jobs |-> "none"]
    /\ state = [j \in Jobs |-> "none"]
    /\ code = [j \in Jobs |-> "none"]
    /\ received = [j \in Jobs |-> FALSE]
    /\ told = [j \in Jobs |-> 0]
    /\ late = [j \in Jobs |-> 0]
    /\ waiter = [c \in Callers |-> "idle"]
    /\ on = [c \in Callers |-> 0]

Step ==
    \/ \E j \in Jobs : spawn_start(j)
    \/ \E j \in Jobs : spawn_queue(j)
    \/ \E j \in Jobs : spawn_block(j)
    \/ \E j \in Jobs : spawn_refuse(j)
    \/ \E j \in Jobs : give_up(j)
    \/ \E j \in Jobs : arrive(j)
    \/ \E j \in Jobs : refuse(j)
    \/ \E j \in Jobs : withdraw(j)
    \/ \E j \in Jobs : fail(j)
    \/ \E j \in Jobs, how \in Ends \cup {"closed", "withdrawn"} : end_active_idle(j, how)
    \/ \E j \in Jobs, how \in Ends \cup {"closed", "withdrawn"} : end_active_next(j, how)
    \/ \E j \in Jobs, how \in Ends \cup {"closed", "withdrawn"} : end_active_refill(j, how)
    \/ \E j \in Jobs, how \in Ends \cup {"closed", "withdrawn"} : end_closing_idle(j, how)
    \/ \E j \in Jobs, how \in Ends \cup {"closed", "withdrawn"} : end_closing_next(j, how)
    \/ \E j \in Jobs, how \in Ends \cup {"closed", "withdrawn"} : end_closing_refill(j, how)
    \/ \E j \in Jobs : close_active(j)
    \/ \E j \in Jobs : expire_active(j)
    \/ \E j \in Jobs : report_late(j)
    \/ \E j \in Jobs, how \in {"closed", "withdrawn"} : close_pending(j, how)
    \/ \E j \in Jobs, how \in {"closed", "withdrawn"} : close_pending_refill(j, how)
    \/ shutdown
    \/ settle
    \/ \E c \in Callers, j \in Jobs : wait(c, j)
    \/ \E c \in Callers, j \in Jobs : stop(c, j)
    \/ \E c \in Callers : cancel_waiter(c)
    \/ \E c \in Callers : expire(c)
    \/ \E c \in Callers : watch(c)
    \/ \E c \in Callers : resume(c)

Next ==
    \/ Step
    \/ \E n \in Limits : set_limit_idle(n)
    \/ \E n \in Limits : set_limit_start(n)

Spec == Init /\ [][Next]_vars

(*--------------------------------------------------------------------------------------------------------*)
(* What is assumed to happen in the end, and nothing more.  Nobody has to call spawn, to close anything or   *)
(* to cancel anybody.                                                                                        *)
(*--------------------------------------------------------------------------------------------------------*)

(* The loop runs what is ready: who was woken resumes, what was to be dropped is, and what failed is seen. *)
LeavesBy(j, how) ==
    \/ end_active_idle(j, how) \/ end_active_next(j, how) \/ end_active_refill(j, how)
    \/ end_closing_idle(j, how) \/ end_closing_next(j, how) \/ end_closing_refill(j, how)
LoopRuns ==
    /\ \A j \in Jobs :
        /\ WF_vars(arrive(j)) /\ WF_vars(refuse(j)) /\ WF_vars(LeavesBy(j, "raised"))
        /\ WF_vars(phase # "open" /\ LeavesBy(j, "closed"))
    /\ \A c \in Callers : WF_vars(resume(c))

(* Assumption TIME-PASSES: closing comes to its deadline, or to its end. *)
TimePasses == WF_vars(settle)

(* Assumption JOBS-END: every coroutine that runs ends. *)
JobsEnd == \A j \in Jobs : WF_vars(fail(j) \/ \E how \in Ends \ {"raised"} : LeavesBy(j, how))

LoopSpec == Spec /\ LoopRuns
TimeSpec == Spec /\ LoopRuns /\ TimePasses
FairSpec == Spec /\ LoopRuns /\ TimePasses /\ JobsEnd

----------------------------------------------------------------------------------------------------------
(* What holds in every state. *)

TypeOK ==
    /\ phase \in {"open", "closing", "closed"}
    /\ limit \in {L} \cup Limits
    /\ taken \in Nat
    /\ queue \in Seq(Jobs) /\ blocked \in Seq(Jobs)
    /\ call \in [Jobs -> CallStates]
    /\ state \in [Jobs -> {"none"} \cup JobStates]
    /\ code \in [Jobs -> Codes]
    /\ received \in [Jobs -> BOOLEAN]
    /\ told \in [Jobs -> Nat]
    /\ late \in [Jobs -> Nat]
    /\ waiter \in [Callers -> Modes]
    /\ on \in [Callers -> {0} \cup Jobs]

(* Never more running jobs than the limit allows, by count of the jobs themselves, if it is never changed.    *)
LIMIT_1 == Limits = {} => unlimited \/ Cardinality(Running) <= limit

(* Never a free slot beside a job or a call that waits. *)
LIMIT_2 == (\E j \in Jobs : state[j] = "pending" \/ call[j] = "blocked") =>
    phase = "open" /\ ~unlimited /\ Cardinality(Running) >= limit

LIMIT_3 == P > 0 => Cardinality(Pending) <= P

LIMIT_4 == (\E j \in Jobs : call[j] = "blocked") => P > 0 /\ Cardinality(Pending) = P

(* In terms of arrival: once a job has started nobody who came earlier still waits, and once it has a place  *)
(* in the queue nobody who came earlier is still blocked. *)
LIMIT_5 == \A j \in Jobs : \A i \in 1 .. j - 1 :
    /\ state[j] \in Holding \cup {"done"} => state[i] # "pending" /\ call[i] # "blocked"
    /\ state[j] # "none" => call[i] # "blocked"

(* A slot is taken exactly as long as its job runs: until the coroutine has ended, and not a step longer. *)
LIMIT_6 ==
    /\ taken = Cardinality(Running)
    /\ \A j \in Jobs : code[j] \in Going \cup {"failed"} => j \in Running
    /\ \A j \in Jobs : j \in Running => code[j] \in Going \cup {"fresh", "failed"}

(* A call that returned has a job; one that raised left nothing behind; and until a call returns nothing of  *)
(* its job runs. *)
SPAWN_1 == \A j \in Jobs :
    /\ call[j] = "returned" => state[j] # "none"
    /\ call[j] \in {"withdrawn", "refused"} => state[j] \in {"none", "closed"} /\ code[j] = "dropped"
    /\ call[j] \in {"none", "blocked"} => state[j] = "none"
    /\ call[j] # "returned" => code[j] \in {"none", "fresh", "dropped"}
    /\ j \in Members(blocked) <=> call[j] = "blocked"

(* Once closing has begun no call is left outside, and the coroutine of one that is yet to raise is closed   *)
(* or about to be. *)
SPAWN_2 == phase # "open" => \A j \in Jobs :
    /\ call[j] # "blocked"
    /\ call[j] = "arriving" => state[j] \in {"none", "closed", "closing"}
    /\ call[j] = "arriving" /\ state[j] # "closing" => code[j] = "dropped"

(* Whose time is over was asked to stop for that, and is stopped if it does. *)
SPAWN_6 == \A j \in Jobs :
    /\ code[j] = "overdue" => state[j] = "closing"
    /\ code[j] = "timed_out" => state[j] = "closed"

(* A pending job has not run. *)
START_2 == \A j \in Jobs : state[j] = "pending" => code[j] = "fresh"

(* Once closing has begun nobody waits to start, and every running job has been asked to stop, unless it has *)
(* ended already. *)
SHUT_1 == phase # "open" => Pending = {} /\ queue = <<>> /\ \A j \in Active : code[j] = "failed"

(* Who still ran when closing was over was reported, once, and nobody else but whose time was over. *)
SHUT_2 == \A j \in Jobs :
    /\ late[j] <= 1
    /\ late[j] = 1 => phase = "closed" \/ (Timed /\ state[j] \in {"closing", "closed"})
    /\ phase = "closed" /\ j \in Running => late[j] = 1

(* A failure was received or given to the handler, once and not both, or is held back for callers each of    *)
(* whom is about to resume. *)
EXC_1 == \A j \in Jobs :
    /\ code[j] \notin Failures => told[j] = 0 /\ ~received[j]
    /\ code[j] \in Failures =>
        \/ told[j] = 1 /\ ~received[j] /\ Audience(j) = {}
        \/ told[j] = 0 /\ received[j]
        \/ told[j] = 0 /\ ~received[j] /\ Audience(j) # {}
           /\ \A c \in Audience(j) : waiter[c] \in {"woken", "leaving", "expired"}

(* The books agree: the queue holds the pending jobs, the line outside the blocked calls, each once. *)
BOOK_1 ==
    /\ Members(queue) = Pending /\ Len(queue) = Cardinality(Pending)
    /\ Len(blocked) = Cardinality({j \in Jobs : call[j] = "blocked"})
    /\ taken + Len(queue) = Cardinality(Books)

(* Nothing can happen any more only when everything is over; but the limit can be set even then. *)
Finished ==
    /\ phase = "closed" /\ Books = {}
    /\ \A j \in Jobs : call[j] \in Answers
    /\ \A c \in Callers : waiter[c] \in {"idle", "answered"}
NotStuck == (ENABLED Step) \/ Finished

----------------------------------------------------------------------------------------------------------
(* What holds for every step. *)

(* The cells of spec/job.toml that change a state, once more, and by what event a step changes one.  That the *)
(* table is the one of the file is assumed of the module that is generated from it: an event that is added    *)
(* there alone is one of which this module knows nothing.  "none" to "pending" or "active" is acceptance, at  *)
(* once with a start if a slot is free. *)
Table == {
    <<"pending", "start", "active">>, <<"pending", "close", "closed">>,
    <<"active", "close", "closing">>, <<"active", "expire", "closing">>,
    <<"active", "finish", "done">>, <<"active", "cancel", "closed">>,
    <<"closing", "finish", "closed">>, <<"closing", "cancel", "closed">>}
Life == INSTANCE Lifecycle
ASSUME Table = Life!Moves /\ {cell[2] : cell \in Table} = Life!Events /\ JobStates = Life!States

Event(j) ==
    IF state'[j] = "active" THEN "start"
    ELSE IF code'[j] = "overdue" THEN "expire"
    ELSE IF state'[j] = "closing" \/ state[j] = "pending" THEN "close"
    ELSE IF code'[j] \in {"returned", "raised"} THEN "finish"
    ELSE "cancel"
Table_Step == [][\A j \in Jobs : state'[j] # state[j] =>
    \/ state[j] = "none" /\ state'[j] \in {"pending", "active"}
    \/ <<state[j], Event(j), state'[j]>> \in Table]_vars

(* A state that is final stays, and so does how the coroutine ended. *)
Final_Step == [][\A j \in Jobs : state[j] \in Final => state'[j] = state[j] /\ code'[j] = code[j]]_vars

(* Nobody starts beyond the limit, so that more run than it allows only after it was lowered, and ever fewer. *)
LIMIT_1_Step == [][(\E j \in Jobs : state'[j] = "active" /\ state[j] # "active") =>
    limit' = 0 \/ Cardinality({j \in Jobs : state'[j] \in Holding}) <= limit']_vars

(* That the limit is set stops nobody, drops nobody and refuses nobody; who waits then has no slot to wait for. *)
LIMIT_7_Step == [][limit' # limit =>
    /\ \A j \in Jobs :
        /\ state[j] \notin {"none", "pending"} => state'[j] = state[j] /\ code'[j] = code[j]
        /\ state[j] = "pending" => state'[j] \in {"pending", "active"}
        /\ call[j] = "blocked" => call'[j] \in {"blocked", "arriving"}
    /\ (\E j \in Jobs : state'[j] = "pending" \/ call'[j] = "blocked") =>
        limit' # 0 /\ Cardinality({j \in Jobs : state'[j] \in Holding}) >= limit'
    /\ phase # "open" => UNCHANGED <<taken, queue, blocked, call, state, code>>]_vars

(* The count of slots changes with the jobs that run, one for one. *)
LIMIT_6_Step == [][
    taken' - taken = Cardinality({j \in Jobs : state'[j] \in Holding}) - Cardinality(Running)]_vars

(* An answer is given once; none of a blocked call is a job once closing has begun. *)
SPAWN_1_Step == [][\A j \in Jobs : call[j] \in Answers => call'[j] = call[j]]_vars
SPAWN_2_Step == [][phase # "open" => \A j \in Jobs : call'[j] = "returned" => call[j] = "returned"]_vars

(* What was dropped never runs; a job that is closed while it is pending is dropped. *)
START_2_Step == [][\A j \in Jobs :
    /\ code[j] = "dropped" => code'[j] = "dropped"
    /\ state[j] = "pending" /\ state'[j] = "closed" => code'[j] = "dropped"]_vars

(* That a caller leaves touches no job; but the end of one that times out lets go who closes it. *)
LetGo(c) == waiter[c] = "stopping" /\ code[on[c]] = "overdue" /\ code'[on[c]] = "timed_out"
WAIT_1_Step == [][
    (\E c \in Callers :
        waiter[c] \in {"waiting", "stopping", "woken"} /\ waiter'[c] = "leaving" /\ ~LetGo(c)) =>
            UNCHANGED spawning]_vars

(* A job that is closing leaves that state, and its slot, only by the end of its coroutine. *)
CLOSE_2_Step == [][\A j \in Jobs : state[j] = "closing" /\ state'[j] # "closing" =>
    state'[j] = "closed" /\ code'[j] \in {"dropped", "returned", "raised", "cancelled", "timed_out"}]_vars

(* Time passes unnoticed for who was asked to stop before.  For whom it was the first to ask, being cancelled  *)
(* then is a failure, of which nobody hears by having closed the job; returning or raising counts as ever. *)
SPAWN_6_Step == [][\A j \in Jobs :
    /\ code'[j] = "overdue" /\ code[j] # "overdue" => state[j] = "active" /\ code[j] = "running"
    /\ code[j] = "overdue" => code'[j] \in {"overdue", "failed", "returned", "timed_out"}
    /\ code'[j] = "timed_out" => code[j] \in {"overdue", "timed_out"}
    /\ code'[j] = "timed_out" => \A c \in Callers : on[c] = j /\ waiter[c] = "stopping" => waiter'[c] = "leaving"
    /\ late'[j] # late[j] => code[j] = "overdue" \/ phase' = "closed"]_vars

(* What has failed ends by that, whoever asks it to stop meanwhile. *)
CLOSE_3_Step == [][\A j \in Jobs : code[j] = "failed" =>
    \/ state'[j] = state[j] /\ code'[j] = "failed"
    \/ state'[j] = (IF state[j] = "active" THEN "done" ELSE "closed") /\ code'[j] = "raised"]_vars

(* The step in which closing begins, and every later one, starts nothing; what waits is dropped. *)
SHUT_1_Step == [][phase' # "open" => \A j \in Jobs :
    /\ state'[j] = "active" => state[j] = "active" /\ code[j] = "failed"
    /\ code'[j] = "running" => code[j] = "running"
    /\ state[j] = "pending" => state'[j] = "closed" /\ code'[j] = "dropped"]_vars

(* Only the end of closing reports anybody, and only who runs; or who runs although its time was over. *)
SHUT_2_Step == [][\A j \in Jobs : late'[j] # late[j] =>
    j \in Running /\ (code[j] = "overdue" \/ (phase = "closing" /\ phase' = "closed"))]_vars

----------------------------------------------------------------------------------------------------------
(* What must happen in the end. *)

(* With a deadline, whatever the jobs do. *)
SHUT_2_Ends == (phase = "closing") ~> (phase = "closed")

(* A blocked call is answered; after closing has begun without any help from jobs. *)
SPAWN_1_Answered == \A j \in Jobs : (call[j] \in {"blocked", "arriving"}) ~> (call[j] \in Answers)
SPAWN_2_Refused == \A j \in Jobs :
    (phase # "open" /\ call[j] \in {"blocked", "arriving"}) ~> (call[j] \in {"refused", "withdrawn"})

(* A pending job starts or ends. *)
LIMIT_2_Starts == \A j \in Jobs : (state[j] = "pending") ~> (state[j] # "pending")

(* Every job comes to its end, and every call to its answer. *)
SHUT_4_Drains == \A j \in Jobs :
    (call[j] # "none") ~> (call[j] \in Answers /\ state[j] \in {"none"} \cup Final)

WAIT_4_Answered == \A c \in Callers : (waiter[c] # "idle") ~> (waiter[c] = "answered")

(* A failure reaches somebody. *)
EXC_1_Reaches == \A j \in Jobs : (code[j] \in Failures \cup {"failed"}) ~> (received[j] \/ told[j] = 1)

----------------------------------------------------------------------------------------------------------
(* This module refines the counters of spec/scheduler.toml: the module as a whole, and action by action. *)

(* To the counters every job that runs after closing has begun was asked to stop; one that had failed unseen  *)
(* was not, and they can't tell. *)
CountedActive == IF phase = "open" THEN Cardinality(Active) ELSE 0
C == INSTANCE Counters WITH
    L0 <- L,
    n_values <- Limits,
    L <- limit,
    pending <- Len(queue),
    active <- CountedActive,
    closing <- Cardinality(Running) - CountedActive,
    blocked <- Len(blocked)

Refinement == C!Spec
CountersInvariant == C!Invariant

Hows == Ends \cup {"closed", "withdrawn"}
Same == UNCHANGED <<phase, limit, Len(queue), CountedActive, Cardinality(Running), Len(blocked)>>
Actions_Step == [][
    /\ (\E j \in Jobs : spawn_start(j)) => C!spawn_start
    /\ (\E j \in Jobs : spawn_queue(j)) => C!spawn_queue
    /\ (\E j \in Jobs : spawn_block(j)) => C!spawn_block
    /\ (\E j \in Jobs : give_up(j)) => C!give_up
    /\ (\E j \in Jobs, how \in Hows : end_active_idle(j, how)) =>
            IF phase = "open" THEN C!end_active_idle ELSE C!end_closing_idle
    /\ (\E j \in Jobs, how \in Hows : end_active_next(j, how)) => C!end_active_next
    /\ (\E j \in Jobs, how \in Hows : end_active_refill(j, how)) => C!end_active_refill
    /\ (\E j \in Jobs, how \in Hows : end_closing_idle(j, how)) => C!end_closing_idle
    /\ (\E j \in Jobs, how \in Hows : end_closing_next(j, how)) => C!end_closing_next
    /\ (\E j \in Jobs, how \in Hows : end_closing_refill(j, how)) => C!end_closing_refill
    /\ (\E j \in Jobs : close_active(j) \/ expire_active(j)) => C!close_active
    /\ \A n \in Limits : set_limit_idle(n) => C!set_limit_idle(n)
    /\ \A n \in Limits : set_limit_start(n) => C!set_limit_start(n)
    /\ (\E j \in Jobs, how \in Hows : close_pending(j, how)) => C!close_pending
    /\ (\E j \in Jobs, how \in Hows : close_pending_refill(j, how)) => C!close_pending_refill
    /\ shutdown => C!shutdown
    /\ settle => C!settle
    /\ (\E j \in Jobs : spawn_refuse(j) \/ arrive(j) \/ refuse(j) \/ withdraw(j) \/ fail(j) \/ report_late(j)) => Same
    /\ (\E c \in Callers : cancel_waiter(c) \/ expire(c) \/ watch(c) \/ resume(c)) => Same
    /\ (\E c \in Callers, j \in Jobs : wait(c, j) \/ stop(c, j)) => Same]_vars

==============================================================================================================
