------------------------------------------------- MODULE Lanes -----------------------------------------------
(************************************************************************************************************)
(* Lanes in front of a scheduler: whose turn it is, what starts next for a key, and what becomes of what     *)
(* waits.                                                                                                   *)
(*                                                                                                          *)
(* A piece of work is what one call of `spawn` brings.  Pieces are numbered 1, 2, 3 ... in the order of the  *)
(* calls, blocked calls included, so the order of a lane can be stated without looking at any queue.  A      *)
(* piece of key 0 goes to the scheduler directly: other work, which shares the slots.                        *)
(*                                                                                                          *)
(* The scheduler is no more here than slots and a queue without a limit; Jobs.tla has the rest of it.        *)
(* README.md beside this file explains the variables, and what is left out.  Operators with the name of a    *)
(* requirement (LANE_1 for LANE-1) state what spec/requirements.toml promises, and no rule of the lanes'     *)
(* own (`waiting`, `entered`, `ring`) is used to state it.                                                   *)
(************************************************************************************************************)
EXTENDS Integers, Sequences, FiniteSets

CONSTANTS
    N,          \* how many calls of spawn there are
    K,          \* how many keys
    Others,     \* whether a call may be other work
    S,          \* how many slots the scheduler has at the beginning
    SlotLimits, \* what that can be set to
    M,          \* the limit of each key at the beginning
    KeyLimits,  \* what that can be set to
    P           \* how many may wait in a lane; 0 means any number

ASSUME N \in Nat /\ K \in Nat \ {0} /\ S \in Nat \ {0} /\ M \in Nat \ {0} /\ P \in Nat
ASSUME SlotLimits \subseteq Nat \ {0} /\ KeyLimits \subseteq Nat \ {0} /\ Others \in BOOLEAN

Pieces == 1 .. N
Keys == 1 .. K

VARIABLES
    phase,      \* of the scheduler: open, draining, closed
    slots,      \* how many jobs may run at once
    limit,      \* how many of one key may be handed over and not have ended
    key,        \* of each piece; 0 for other work
    state,      \* of each piece, see below
    queue,      \* what waits for a slot in the scheduler, the next one first
    waiting,    \* what waits in each lane, the next one first
    entered,    \* of each key how many are handed over and have not ended, by the lanes' own count
    ring,       \* the keys whose turn will come, the next one first
    door,       \* the piece that was handed over and has not begun; 0 for none
    woken,      \* whether the loop will run the pump
    held,       \* whether the scheduler is kept from being drained
    kept,       \* the keys for which something is kept
    passed      \* for each key that could hand something over, whose turn came since: history, for LANE_1

lanes == <<waiting, entered, ring, kept>>
vars == <<phase, slots, limit, key, state, queue, waiting, entered, ring, door, woken, held, kept, passed>>

(*--------------------------------------------------------------------------------------------------------*)
(* A piece is                                                                                               *)
(*   none       not brought yet                                                                             *)
(*   blocked    outside: its caller waits for a place in the lane                                           *)
(*   arriving   outside: its caller was woken and has not resumed                                           *)
(*   waiting    in its lane                                                                                 *)
(*   queued     handed over, and waiting for a slot                                                         *)
(*   starting   in a slot that it has waited for, and its first step is still to come                       *)
(*   running    in a slot                                                                                   *)
(*   ended      over, after it has run                                                                      *)
(*   never      accepted, and given up before it ran                                                        *)
(*   refused    not accepted: its caller was cancelled, or the scheduler has closed                         *)
(*--------------------------------------------------------------------------------------------------------*)
Outside == {"blocked", "arriving"}
Handed == {"queued", "starting", "running"}
InSlot == {"starting", "running"}
Final == {"ended", "never", "refused"}
States == {"none", "waiting"} \cup Outside \cup Handed \cup Final

In(k, what) == {p \in Pieces : key[p] = k /\ state[p] \in what}
Taken(st) == Cardinality({p \in Pieces : st[p] \in InSlot})
First(set) == CHOOSE p \in set : \A q \in set : p <= q
Without(line, x) == SelectSeq(line, LAMBDA y : y # x)
WithoutGivenUp(line, p) == Without(line, p)
Has(line, x) == \E i \in 1 .. Len(line) : line[i] = x
NextCall(p) == state[p] = "none" /\ \A q \in 1 .. p - 1 : state[q] # "none"

(* What a key could do, told by the pieces. *)
Could(k) == phase # "closed" /\ In(k, {"waiting"}) # {} /\ Cardinality(In(k, Handed)) < limit

(*--------------------------------------------------------------------------------------------------------*)
(* Parts of the lanes, each of which a fault can take the place of.                                         *)
(*--------------------------------------------------------------------------------------------------------*)

(* The lane takes no more; nobody overtakes those who are outside. *)
Full(k) == P > 0 /\ (In(k, Outside) # {} \/ Len(waiting[k]) >= P)

Below(count, most) == count < most
NextOf(line) == Head(line)
RestOf(line) == Tail(line)
NextKey(line) == Head(line)
RestOfRing(line) == Tail(line)
Queues(line, k) == IF Has(line, k) THEN line ELSE Append(line, k)
DoorIsFree == door = 0

(* The ring after a change of lane k, and whether that wakes the pump. *)
LinesUp(k, w, e) == w[k] # <<>> /\ Below(e[k], limit)
RingAfter(k, line, w, e) ==
    IF LinesUp(k, w, e) THEN Queues(line, k) ELSE IF w[k] = <<>> THEN Without(line, k) ELSE line
RingAfterEnd(k, line, w, e) == RingAfter(k, line, w, e)

(* Blocked callers are woken as long as there are places. *)
RECURSIVE Admit(_, _, _)
Admit(k, st, w) ==
    LET blocked == {p \in Pieces : key[p] = k /\ st[p] = "blocked"}
        arriving == {p \in Pieces : key[p] = k /\ st[p] = "arriving"}
    IN IF blocked # {} /\ Len(w[k]) + Cardinality(arriving) < P
       THEN Admit(k, [st EXCEPT ![First(blocked)] = "arriving"], w)
       ELSE st
AdmitAfterCancel(k, st, w) == Admit(k, st, w)

IsIdle(k, st, w, e) ==
    w[k] = <<>> /\ e[k] = 0 /\ ~\E p \in Pieces : key[p] = k /\ st[p] \in Outside
KeptAfter(k, st, w, e) == IF IsIdle(k, st, w, e) THEN kept \ {k} ELSE kept

(* Whether the scheduler must not be drained: something waits, is outside, or stands at the door. *)
MustHold(st, d) == d # 0 \/ \E p \in Pieces : key[p] # 0 /\ st[p] \in Outside \cup {"waiting"}
HoldsWhenAccepted == TRUE

(* What is queued starts as slots allow; what came through a lane has its first step in the next pass. *)
RECURSIVE Start(_, _, _)
Start(st, q, n) ==
    IF q = <<>> \/ Taken(st) >= n THEN <<st, q>>
    ELSE Start([st EXCEPT ![Head(q)] = IF key[Head(q)] = 0 THEN "running" ELSE "starting"], Tail(q), n)

WakesAtBegin == TRUE
WakesAtSetLimit == TRUE

(*--------------------------------------------------------------------------------------------------------*)
(* Steps.                                                                                                   *)
(*--------------------------------------------------------------------------------------------------------*)

Turns == {k \in Keys : \E p \in In(k, {"waiting"}) : state'[p] \in Handed}

(* The history: who had a turn while k could have had one. *)
Remember == passed' = [k \in Keys |->
    IF Could(k) /\ Could(k)' /\ k \notin Turns THEN passed[k] \cup Turns ELSE {}]

(* Lane k after a change; `line` is the ring with its place for k. *)
Settle(k, st, w, e, line) ==
    /\ state' = st
    /\ waiting' = w
    /\ entered' = e
    /\ ring' = line
    /\ kept' = KeptAfter(k, st, w, e)
    /\ held' = (held /\ MustHold(st, door'))

Init ==
    /\ phase = "open" /\ slots = S /\ limit = M
    /\ key = [p \in Pieces |-> 0]
    /\ state = [p \in Pieces |-> "none"]
    /\ queue = <<>>
    /\ waiting = [k \in Keys |-> <<>>]
    /\ entered = [k \in Keys |-> 0]
    /\ ring = <<>> /\ door = 0 /\ woken = FALSE /\ held = FALSE /\ kept = {}
    /\ passed = [k \in Keys |-> {}]

(* A piece has a place in its lane: it came at once, or its caller has resumed. *)
Accepted(p, k) ==
    LET w == [waiting EXCEPT ![k] = Append(@, p)]
    IN /\ state' = [state EXCEPT ![p] = "waiting"]
       /\ waiting' = w
       /\ ring' = RingAfter(k, ring, w, entered)
       /\ woken' = (woken \/ LinesUp(k, w, entered))
       /\ held' = HoldsWhenAccepted
       /\ kept' = kept \cup {k}
       /\ UNCHANGED <<phase, slots, limit, queue, entered, door>>
       /\ Remember

enter(p, k) ==
    /\ NextCall(p) /\ phase # "closed" /\ ~Full(k)
    /\ key' = [key EXCEPT ![p] = k]
    /\ Accepted(p, k)

block(p, k) ==
    /\ NextCall(p) /\ phase # "closed" /\ Full(k)
    /\ key' = [key EXCEPT ![p] = k]
    /\ state' = [state EXCEPT ![p] = "blocked"]
    /\ UNCHANGED <<phase, slots, limit, queue, lanes, door, woken, held>>
    /\ Remember

enter_other(p) ==
    /\ Others /\ NextCall(p) /\ phase # "closed"
    /\ state' = [state EXCEPT ![p] = IF Taken(state) < slots THEN "running" ELSE "queued"]
    /\ queue' = IF Taken(state) < slots THEN queue ELSE Append(queue, p)
    /\ UNCHANGED <<phase, slots, limit, key, lanes, door, woken, held>>
    /\ Remember

(* A caller that was woken resumes. *)
get_place(p) ==
    /\ state[p] = "arriving" /\ phase # "closed"
    /\ p = First(In(key[p], {"arriving"}))
    /\ UNCHANGED key
    /\ Accepted(p, key[p])

refuse_caller(p) ==
    /\ state[p] = "arriving" /\ phase = "closed"
    /\ UNCHANGED <<phase, slots, limit, key, queue, door, woken>>
    /\ Settle(key[p], [state EXCEPT ![p] = "refused"], waiting, entered, ring)
    /\ Remember

cancel_caller(p) ==
    LET k == key[p]
        st == AdmitAfterCancel(k, [state EXCEPT ![p] = "refused"], waiting)
    IN /\ state[p] \in Outside
       /\ UNCHANGED <<phase, slots, limit, key, queue, door>>
       /\ Settle(k, st, waiting, entered, RingAfter(k, ring, waiting, entered))
       /\ woken' = (woken \/ LinesUp(k, waiting, entered))
       /\ Remember

(* The pump, one turn after another: the first key of the ring hands its next piece over.  If no slot is     *)
(* free that piece is the one at the door, and nothing else is handed over until it begins. *)
hand_over(k) ==
    /\ woken /\ phase # "closed" /\ DoorIsFree /\ ring # <<>> /\ k = NextKey(ring)
    /\ Below(entered[k], limit)
    /\ LET p == NextOf(waiting[k])
           w == [waiting EXCEPT ![k] = RestOf(@)]
           e == [entered EXCEPT ![k] = @ + 1]
           free == Taken(state) < slots
           st == [state EXCEPT ![p] = IF free THEN "running" ELSE "queued"]
       IN /\ queue' = IF free THEN queue ELSE Append(queue, p)
          /\ door' = IF free THEN door ELSE p
          /\ Settle(k, Admit(k, st, w), w, e, RingAfter(k, RestOfRing(ring), w, e))
    /\ UNCHANGED <<phase, slots, limit, key, woken>>
    /\ Remember

(* Its limit was lowered meanwhile. *)
pass_over(k) ==
    /\ woken /\ phase # "closed" /\ DoorIsFree /\ ring # <<>> /\ k = NextKey(ring)
    /\ ~Below(entered[k], limit)
    /\ ring' = RestOfRing(ring)
    /\ UNCHANGED <<phase, slots, limit, key, state, queue, waiting, entered, door, woken, held, kept>>
    /\ Remember

rest ==
    /\ woken /\ (phase = "closed" \/ ~DoorIsFree \/ ring = <<>>)
    /\ woken' = FALSE
    /\ held' = (held /\ MustHold(state, door))
    /\ UNCHANGED <<phase, slots, limit, key, state, queue, lanes, door>>
    /\ Remember

(* The first step of the piece at the door. *)
begin(p) ==
    /\ state[p] = "starting"
    /\ state' = [state EXCEPT ![p] = "running"]
    /\ door' = IF door = p THEN 0 ELSE door
    /\ woken' = (woken \/ WakesAtBegin)
    /\ UNCHANGED <<phase, slots, limit, key, queue, lanes, held>>
    /\ Remember

(* A piece that was handed over is over, and the next in the queue starts. *)
Leaves(p, how, line(_, _, _, _)) ==
    LET k == key[p]
        next == Start([state EXCEPT ![p] = how], WithoutGivenUp(queue, p), slots)
        e == [entered EXCEPT ![k] = @ - 1]
    IN /\ queue' = next[2]
       /\ door' = IF door = p THEN 0 ELSE door
       /\ Settle(k, Admit(k, next[1], waiting), waiting, e, line(k, ring, waiting, e))
       /\ woken' = (woken \/ Has(ring', k) \/ door = p)
       /\ UNCHANGED <<phase, slots, limit, key>>
       /\ Remember

end(p) ==
    /\ state[p] = "running" /\ key[p] # 0
    /\ Leaves(p, "ended", RingAfterEnd)

end_other(p) ==
    /\ state[p] = "running" /\ key[p] = 0
    /\ LET next == Start([state EXCEPT ![p] = "ended"], queue, slots)
       IN state' = next[1] /\ queue' = next[2]
    /\ UNCHANGED <<phase, slots, limit, key, lanes, door, woken, held>>
    /\ Remember

(* Somebody closes what has not begun: it waits in its lane, or it was handed over. *)
give_up_waiting(p) ==
    LET k == key[p]
        w == [waiting EXCEPT ![k] = Without(@, p)]
    IN /\ state[p] = "waiting"
       /\ UNCHANGED <<phase, slots, limit, key, queue, door>>
       /\ Settle(k, Admit(k, [state EXCEPT ![p] = "never"], w), w, entered, RingAfter(k, ring, w, entered))
       /\ woken' = (woken \/ LinesUp(k, w, entered))
       /\ Remember

give_up_handed(p) ==
    /\ state[p] \in {"queued", "starting"} /\ key[p] # 0
    /\ Leaves(p, "never", RingAfter)

(* Limits may be changed at any time. *)
RECURSIVE LineUpAll(_, _, _)
LineUpAll(line, keys, n) ==
    IF keys = {} THEN line
    ELSE LET k == First(keys)
         IN LineUpAll(IF waiting[k] # <<>> /\ Below(entered[k], n) THEN Queues(line, k) ELSE line, keys \ {k}, n)

set_key_limit(n) ==
    /\ limit # n /\ phase # "closed"
    /\ limit' = n
    /\ ring' = IF WakesAtSetLimit THEN LineUpAll(ring, Keys, n) ELSE ring
    /\ woken' = (woken \/ ring' # ring)
    /\ UNCHANGED <<phase, slots, key, state, queue, waiting, entered, door, held, kept>>
    /\ Remember

set_slots(n) ==
    /\ slots # n /\ phase # "closed"
    /\ slots' = n
    /\ LET next == Start(state, queue, n) IN state' = next[1] /\ queue' = next[2]
    /\ UNCHANGED <<phase, limit, key, lanes, door, woken, held>>
    /\ Remember

(* Draining ends by itself, closing ends it: what has not begun never will. *)
drain ==
    /\ phase = "open"
    /\ phase' = "draining"
    /\ UNCHANGED <<slots, limit, key, state, queue, lanes, door, woken, held>>
    /\ Remember

drained ==
    /\ phase = "draining" /\ ~held /\ queue = <<>> /\ Taken(state) = 0
    /\ phase' = "closed"
    /\ UNCHANGED <<slots, limit, key, state, queue, lanes, door, woken, held>>
    /\ Remember

Dropped == {"waiting", "queued", "starting"}
AfterClose(p) ==
    IF state[p] \in Dropped THEN "never" ELSE IF state[p] = "blocked" THEN "arriving" ELSE state[p]

close ==
    /\ phase # "closed"
    /\ phase' = "closed"
    /\ state' = [p \in Pieces |-> AfterClose(p)]
    /\ queue' = <<>>
    /\ waiting' = [k \in Keys |-> <<>>]
    /\ entered' = [k \in Keys |-> entered[k] - Cardinality(In(k, {"queued", "starting"}))]
    /\ ring' = <<>> /\ door' = 0 /\ held' = FALSE
    /\ kept' = {k \in Keys : ~IsIdle(k, state', waiting', entered')}
    /\ UNCHANGED <<slots, limit, key, woken>>
    /\ Remember

Step ==
    \/ \E p \in Pieces, k \in Keys : enter(p, k)
    \/ \E p \in Pieces, k \in Keys : block(p, k)
    \/ \E p \in Pieces : enter_other(p)
    \/ \E p \in Pieces : get_place(p)
    \/ \E p \in Pieces : refuse_caller(p)
    \/ \E p \in Pieces : cancel_caller(p)
    \/ \E k \in Keys : hand_over(k)
    \/ \E k \in Keys : pass_over(k)
    \/ rest
    \/ \E p \in Pieces : begin(p)
    \/ \E p \in Pieces : end(p)
    \/ \E p \in Pieces : end_other(p)
    \/ \E p \in Pieces : give_up_waiting(p)
    \/ \E p \in Pieces : give_up_handed(p)
    \/ \E n \in KeyLimits : set_key_limit(n)
    \/ \E n \in SlotLimits : set_slots(n)
    \/ drain
    \/ drained
    \/ close

Spec == Init /\ [][Step]_vars

(*--------------------------------------------------------------------------------------------------------*)
(* What is assumed to happen in the end: the loop runs what is ready, and what runs ends.                   *)
(*--------------------------------------------------------------------------------------------------------*)
Pumps == rest \/ \E k \in Keys : hand_over(k) \/ pass_over(k)
Resumes(p) == get_place(p) \/ refuse_caller(p)

FairSpec ==
    /\ Spec
    /\ WF_vars(Pumps)
    /\ WF_vars(drained)
    /\ \A p \in Pieces : WF_vars(begin(p)) /\ WF_vars(Resumes(p)) /\ WF_vars(end(p)) /\ WF_vars(end_other(p))

(*--------------------------------------------------------------------------------------------------------*)
(* What must hold.                                                                                          *)
(*--------------------------------------------------------------------------------------------------------*)
TypeOK ==
    /\ phase \in {"open", "draining", "closed"} /\ slots \in {S} \cup SlotLimits /\ limit \in {M} \cup KeyLimits
    /\ key \in [Pieces -> 0 .. K] /\ state \in [Pieces -> States]
    /\ door \in 0 .. N /\ woken \in BOOLEAN /\ held \in BOOLEAN /\ kept \subseteq Keys
    /\ passed \in [Keys -> SUBSET Keys]

(* Nobody has a second turn while another one that could have had one has had none. *)
LANE_1_Step == [][\A k \in Turns : \A j \in Keys \ {k} : Could(j) => k \notin passed[j]]_vars

(* What is spawned for one key starts in the order of the calls. *)
LANE_2 == \A p, q \in Pieces :
    p < q /\ key[p] = key[q] /\ key[p] # 0 /\ state[q] \in {"starting", "running", "ended"}
        => state[p] \in InSlot \cup Final

(* Nothing is handed over beyond the limit of its key, and changing the limit touches nothing. *)
LANE_3_Step == [][
    /\ \A k \in Turns : Cardinality(In(k, Handed)') <= limit
    /\ limit' # limit => UNCHANGED state]_vars

(* At most one that was handed over waits for a slot; what starts has a slot of its own. *)
LANE_4 == Cardinality({p \in Pieces : key[p] # 0 /\ state[p] = "queued"}) <= 1
LANE_4_Step == [][
    (\E p \in Pieces : state[p] \notin InSlot /\ state'[p] \in InSlot) => Taken(state') <= slots']_vars

(* In the pass after any change something waits only if its key is at its limit, or one waits for a slot;    *)
(* and that one only while no slot is free. *)
AtRest == ~woken /\ ~\E p \in Pieces : state[p] = "starting"
LANE_5 ==
    /\ AtRest /\ (\E k \in Keys : Could(k)) => \E p \in Pieces : key[p] # 0 /\ state[p] = "queued"
    /\ (\E p \in Pieces : state[p] = "queued") => Taken(state) >= slots

(* Nothing is lost: draining is over only when everything is, and what is over stays as it is. *)
LANE_6 == phase = "closed" => \A p \in Pieces :
    state[p] \in Final \cup {"none", "arriving", "running"}
LANE_6_Step == [][
    /\ drained => \A p \in Pieces : state[p] \in Final \cup {"none"}
    /\ \A p \in Pieces : state[p] \in Final => state'[p] = state[p]]_vars
LANE_6_Ends == \A p \in Pieces : state[p] \notin Final \cup {"none"} ~> state[p] \in Final
LANE_6_Drains == phase = "draining" ~> phase = "closed"

(* Nothing is kept for a key that has no work and no caller. *)
LANE_7 ==
    /\ kept = {k \in Keys : In(k, States \ (Final \cup {"none"})) # {}}
    /\ \A k \in Keys : Has(ring, k) => In(k, {"waiting"}) # {}

(* Never more in a lane than may be; a caller is blocked only while the lane is full. *)
LANE_8 == P > 0 => \A k \in Keys :
    LET many == Cardinality(In(k, {"waiting", "arriving"}))
    IN phase # "closed" => many <= P /\ (In(k, {"blocked"}) # {} => many = P)
=============================================================================================================
