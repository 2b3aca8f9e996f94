---------------------------------------------- MODULE LaneFaults ---------------------------------------------
(************************************************************************************************************)
(* Seeded faults of lanes: what a checker of Lanes.tla must find.  Each is a wrong variant of an operator of *)
(* Lanes; a fault_lanes_*.cfg puts it in the place of the right one and names the rule that it breaks.       *)
(************************************************************************************************************)
EXTENDS Lanes

(* fault_lanes_turn_after_turn: a key that has something left goes to the head of the ring. *)
QueuesFirst(line, k) == IF Has(line, k) THEN line ELSE <<k>> \o line

(* fault_lanes_last_key_first: the key that came last has its turn first. *)
LastKey(line) == line[Len(line)]
RestWithoutLastKey(line) == SubSeq(line, 1, Len(line) - 1)

(* fault_lanes_lifo: what came last in a lane is handed over first. *)
LastOf(line) == line[Len(line)]
RestWithoutLast(line) == SubSeq(line, 1, Len(line) - 1)

(* fault_lanes_overtaken: a place is free, and who comes now takes it before the blocked caller. *)
FullByLength(k) == P > 0 /\ Len(waiting[k]) >= P

(* fault_lanes_one_too_many: the limit of a key is off by one. *)
BelowOrEqual(count, most) == count <= most

(* fault_lanes_crowd_at_door: whatever can be handed over is, however much of it waits for a slot. *)
DoorIsAlwaysFree == TRUE

(* fault_lanes_slot_shared: what is queued starts although no slot is free. *)
RECURSIVE StartAll(_, _, _)
StartAll(st, q, n) ==
    IF q = <<>> THEN <<st, q>>
    ELSE StartAll([st EXCEPT ![Head(q)] = IF key[Head(q)] = 0 THEN "running" ELSE "starting"], Tail(q), n)

(* fault_lanes_end_unheard: a piece ends, and its lane does not line up again. *)
RingAsItIs(k, line, w, e) == line

(* fault_lanes_begin_unheard: the piece at the door begins, and nobody hears of it. *)
(* fault_lanes_raised_unheard: the limit of a key is raised, and nothing lines up. *)
Never == FALSE

(* fault_lanes_slot_left_free: a slot is given back although a job waits for it. *)
StartNone(st, q, n) == <<st, q>>

(* fault_lanes_closing_forgets: closing forgets what waits in lanes. *)
DroppedFromQueue == {"queued", "starting"}

(* fault_lanes_drain_forgets_callers: draining does not wait for blocked callers. *)
MustHoldWhatWaits(st, d) == d # 0 \/ \E p \in Pieces : key[p] # 0 /\ st[p] = "waiting"

(* fault_lanes_drained_too_early: nothing tells the scheduler that something waits in a lane. *)

(* fault_lanes_given_up_runs: what was closed at the door keeps its place in the scheduler's queue. *)
WithGivenUp(line, p) == line

(* fault_lanes_never_drained: nothing waits any more, and the scheduler is kept from being drained. *)
MustHoldForEver(st, d) == TRUE

(* fault_lanes_key_kept: what is kept of a key stays when it has no work. *)
KeptForEver(k, st, w, e) == kept

(* fault_lanes_empty_lane_in_ring: a lane that was emptied keeps its place in the ring. *)
RingWithEmpty(k, line, w, e) == IF LinesUp(k, w, e) THEN Queues(line, k) ELSE line

(* fault_lanes_one_place_too_many: the number of places is off by one. *)
FullTooLate(k) == P > 0 /\ (In(k, {"blocked", "arriving"}) # {} \/ Len(waiting[k]) > P)

(* fault_lanes_place_left_free: a caller is cancelled that was given a place, and nobody else gets it. *)
AdmitNone(k, st, w) == st
=============================================================================================================
