----------------------------------------------- MODULE Witnesses ---------------------------------------------
(************************************************************************************************************)
(* What must be possible.  A rule that holds because nothing ever comes near it proves nothing, so these     *)
(* states must be reached: each operator says of a state that it is never reached, a witness_*.cfg gives it  *)
(* to the checker as an invariant, and the checker must refute it.                                           *)
(************************************************************************************************************)
EXTENDS Jobs

(* Every slot is taken, every place in the queue too, and two calls are blocked. *)
Never_crowded ==
    ~(Cardinality(Running) = limit /\ Cardinality(Pending) = P /\ Cardinality({j \in Jobs : call[j] = "blocked"}) = 2)

(* A job holds a slot, and its spawn has not returned. *)
Never_slot_before_return == ~\E j \in Jobs : call[j] = "arriving" /\ state[j] = "active"

(* A spawn is cancelled after its job was accepted. *)
Never_withdrawn_after_acceptance == ~\E j \in Jobs : call[j] = "withdrawn" /\ state[j] = "closed"

(* A spawn is refused after its job was accepted. *)
Never_refused_after_acceptance == ~\E j \in Jobs : call[j] = "refused" /\ state[j] = "closed"

(* A job is closed by somebody else while its spawn is on the way to return it. *)
Never_closed_while_arriving == ~\E j \in Jobs : phase = "open" /\ call[j] = "arriving" /\ state[j] = "closed"

(* A job fails; one caller receives the exception while another leaves without it. *)
Never_received_beside_leaving ==
    ~\E j \in Jobs, c \in Callers : received[j] /\ waiter[c] = "leaving" /\ on[c] = j

(* A job fails while somebody waits, and the handler is told all the same, because all of them leave. *)
Never_told_after_leaving ==
    ~\E j \in Jobs : told[j] = 1 /\ Cardinality({c \in Callers : waiter[c] = "answered"}) = W

(* Closing is over, and a job still runs; later it ends. *)
Never_runs_after_close == ~\E j \in Jobs : phase = "closed" /\ state[j] = "closing" /\ late[j] = 1
Never_ends_after_close == ~\E j \in Jobs : late[j] = 1 /\ state[j] = "closed"

(* A job has failed and nobody has seen it yet when closing begins, and another one, which waited, is dropped. *)
Never_failed_when_closing ==
    ~\E i, j \in Jobs : phase = "closing" /\ state[i] = "active" /\ code[i] = "failed" /\ state[j] = "closed"

(* A job swallows the request to stop, and ends with a result. *)
Never_stopped_with_result == ~\E j \in Jobs : state[j] = "closed" /\ code[j] = "returned"

(* Everything is over, every job ended by itself, and every caller was answered. *)
Never_well ==
    ~(Finished /\ (\A j \in Jobs : state[j] = "done") /\ \A c \in Callers : waiter[c] = "answered")

(* More run than the limit allows, because it was lowered. *)
Never_over == ~(limit > 0 /\ Cardinality(Running) > limit)

(* The limit is raised by so much that a call that was blocked gets its slot at once. *)
Never_raised_past_the_queue == ~(Cardinality(Running) = N /\ \E j \in Jobs : call[j] = "arriving")

(* A job times out, and who waits receives that. *)
Never_time_out_received == ~\E j \in Jobs : code[j] = "timed_out" /\ received[j]

(* A job times out while somebody closes it, who hears nothing of that: the handler is told. *)
Never_time_out_told_beside_closer ==
    ~\E j \in Jobs, c \in Callers : code[j] = "timed_out" /\ told[j] = 1 /\ waiter[c] = "answered"

(* A job outlives its time, that is reported, and then it returns a result, all while the scheduler is open. *)
Never_outlives_its_time == ~\E j \in Jobs : phase = "open" /\ late[j] = 1 /\ code[j] = "returned"

(* Closing ends while a job runs whose time was over. *)
Never_time_over_when_closing == ~\E j \in Jobs : phase = "closed" /\ code[j] = "overdue" /\ late[j] = 1

==============================================================================================================
