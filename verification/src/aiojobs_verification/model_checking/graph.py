"""An explorer of finite systems: every state, every step, and what must happen in the end.

Rules of this file: it knows no scheduler. A system is an initial state and, for each state, its steps;
states can be hashed. Exploration is breadth first, so the first violation that is found is a shortest
one.

How it works: `explore` gives the whole graph, or stops at the first state or step that breaks a rule.
`leads_to` asks of a whole graph whether after every state in which something is *given* a *goal* is
reached, provided that certain groups of steps are fair: a step of the group is taken sooner or later,
unless there comes a moment, again and again, at which none is possible. The goal is missed if there is a
way from a given state, past all goals, into a part of the graph where one can stay for ever and be fair
to every group. Maximal strongly connected parts are enough to look at, because a part that is unfair to a
group has no smaller part that is fair to it. A single state is a part as well: a run may end anywhere if
that is fair.

Deliberately not here: fingerprints, symmetry, disk. The systems have some ten thousand states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Mapping, Sequence

__all__ = ["Edge", "Fairness", "Found", "Graph", "Group", "System", "explore", "leads_to", "parts"]

S = TypeVar("S", bound="Hashable")


class System(Protocol[S]):
    """A finite system."""

    def initial(self) -> S:
        """The state before anything has happened."""
        ...

    def steps(self, state: S, /) -> Iterable[tuple[str, int, str, S]]:
        """Everything that can happen in a state: the action, to whom, how, and what then is."""
        ...


class Edge(NamedTuple):
    """A step of an explored system: the action, to whom, how, and the number of the state it leads to."""

    action: str
    subject: int
    how: str
    target: int


class Group(NamedTuple):
    """Steps of which one is taken sooner or later, if that stays possible."""

    name: str
    has: Callable[[Edge], bool]


class Found(NamedTuple):
    """A run that breaks a rule: the numbers of its states.

    If it breaks the rule by what it never does, `stays` is the number of states among which it stays for
    ever after its last one; otherwise 0.
    """

    rule: str
    run: tuple[int, ...]
    stays: int = 0


@dataclass(frozen=True, slots=True)
class Graph(Generic[S]):
    """What was explored. `whole` if nothing was left out because of a violation."""

    states: Sequence[S]
    edges: Sequence[Sequence[Edge]]
    """For each state its steps."""
    parents: Sequence[int]
    """For each state the one from which it was first reached; of the first state, itself."""
    generated: int
    """How many states were looked at, the same one counted every time."""
    depth: int
    """How many states the longest of the shortest runs has."""
    broken: Found | None

    def run_to(self, number: int) -> tuple[int, ...]:
        """The states of a shortest run."""
        return _back(self.parents, number)

    def edge(self, source: int, target: int) -> Edge:
        """A step from one state to another that follows it."""
        return next(edge for edge in self.edges[source] if edge.target == target)


def explore(
    system: System[S],
    state_breaks: Callable[[S], str] = lambda _: "",
    step_breaks: Callable[[S, str, S], str] = lambda _before, _action, _after: "",
) -> Graph[S]:
    """Explore a system. The two functions name the rule that a state or a step breaks; "" is none."""
    first = system.initial()
    numbers: dict[S, int] = {first: 0}
    states, edges, parents, depths = [first], list[list[Edge]](), [0], [1]
    generated = 1
    broken: Found | None = None
    if rule := state_breaks(first):
        broken = Found(rule, (0,))
    while broken is None and len(edges) < len(states):
        source = len(edges)
        edges.append([])
        for action, subject, how, state in system.steps(states[source]):
            generated += 1
            target = numbers.setdefault(state, len(states))
            edges[source].append(Edge(action, subject, how, target))
            new = target == len(states)
            if new:
                states.append(state)
                parents.append(source)
                depths.append(depths[source] + 1)
            rule = step_breaks(states[source], action, state) or (state_breaks(state) if new else "")
            if rule:
                broken = Found(rule, (source, target))
                break
    edges += [[] for _ in range(len(states) - len(edges))]
    graph = Graph(states, edges, parents, generated, max(depths), broken)
    if broken is not None and len(broken.run) > 1:
        source, target = broken.run
        whole = Found(broken.rule, (*graph.run_to(source), target))
        return Graph(states, edges, parents, generated, max(depths), whole)
    return graph


class Fairness(Generic[S]):
    """Groups of steps of a graph, all of which are fair.

    Per state and per step the groups are kept as the bits of a number: a graph is asked many questions.
    """

    def __init__(self, graph: Graph[S], groups: Sequence[Group]) -> None:
        self.graph = graph
        self._all = (1 << len(groups)) - 1
        self._of_steps = [[_bits(edge, groups) for edge in edges] for edges in graph.edges]
        self._possible = [
            # A step that changes nothing is no step: it can't be what fairness asks for.
            _union(bits for edge, bits in zip(edges, row, strict=True) if edge.target != number)
            for number, (edges, row) in enumerate(zip(graph.edges, self._of_steps, strict=True))
        ]

    def allows(self, part: Sequence[int]) -> bool:
        """Whether one can stay in a part for ever: each group is served in it, or is impossible somewhere."""
        inside = set(part)
        content = _union(self._all & ~self._possible[number] for number in part)
        if len(part) > 1:
            content |= _union(
                bits
                for number in part
                for edge, bits in zip(self.graph.edges[number], self._of_steps[number], strict=True)
                if edge.target in inside and edge.target != number
            )
        return content == self._all


def leads_to(
    fairness: Fairness[S], rule: str, given: Callable[[S], bool], goal: Callable[[S], bool]
) -> Found | None:
    """A fair run on which something is given and the goal is never reached; None if there is none."""
    graph = fairness.graph
    short = [not goal(state) for state in graph.states]
    starts = [number for number, state in enumerate(graph.states) if short[number] and given(state)]
    traps = [part for part in parts(graph, _reachable(graph, starts, short)) if fairness.allows(part)]
    if not traps:
        return None
    sizes = {number: len(part) for part in traps for number in part}
    way = _way(graph, starts, sizes, short)
    return Found(rule, (*graph.run_to(way[0])[:-1], *way), sizes[way[-1]])


def _bits(edge: Edge, groups: Sequence[Group]) -> int:
    return _union(1 << number for number, group in enumerate(groups) if group.has(edge))


def _union(values: Iterable[int]) -> int:
    union = 0
    for value in values:
        union |= value
    return union


def parts(graph: Graph[S], within: Iterable[int]) -> Iterator[list[int]]:
    """The maximal strongly connected parts of a piece of the graph (Kosaraju's algorithm)."""
    piece = set(within)
    predecessors: dict[int, list[int]] = {number: [] for number in piece}
    for number in sorted(piece):
        for edge in graph.edges[number]:
            if edge.target in piece:
                predecessors[edge.target].append(number)
    taken: set[int] = set()
    for root in reversed(_postorder(graph, piece)):
        if root not in taken:
            yield _grown(root, predecessors, taken)


def _postorder(graph: Graph[S], piece: set[int]) -> list[int]:
    """The states in the order in which a search, depth first, is done with them."""
    seen: set[int] = set()
    order: list[int] = []
    for root in sorted(piece):
        if root in seen:
            continue
        seen.add(root)
        path = [(root, iter(graph.edges[root]))]
        while path:
            number, edges = path[-1]
            found = next((e.target for e in edges if e.target in piece and e.target not in seen), None)
            if found is None:
                order.append(number)
                path.pop()
            else:
                seen.add(found)
                path.append((found, iter(graph.edges[found])))
    return order


def _grown(root: int, neighbours: Mapping[int, list[int]], taken: set[int]) -> list[int]:
    """Everything that can be reached from the root and was not taken before; it is taken."""
    taken.add(root)
    part = [root]
    for number in part:
        for other in neighbours[number]:
            if other not in taken:
                taken.add(other)
                part.append(other)
    return part


def _reachable(graph: Graph[S], starts: Iterable[int], allowed: Sequence[bool]) -> set[int]:
    seen = set(starts)
    todo = list(seen)
    while todo:
        for edge in graph.edges[todo.pop()]:
            if allowed[edge.target] and edge.target not in seen:
                seen.add(edge.target)
                todo.append(edge.target)
    return seen


def _way(
    graph: Graph[S], starts: Sequence[int], to: Container[int], allowed: Sequence[bool]
) -> tuple[int, ...]:
    """A shortest way from one of the starts to where it is to lead, through allowed states only."""
    parents = {start: start for start in starts}
    todo = list(starts)
    for number in todo:
        if number in to:
            return _back(parents, number)
        for edge in graph.edges[number]:
            if allowed[edge.target] and edge.target not in parents:
                parents[edge.target] = number
                todo.append(edge.target)
    raise LookupError("there is no way")


def _back(parents: Mapping[int, int] | Sequence[int], number: int) -> tuple[int, ...]:
    """The run that ends in a state, from the one that is its own parent."""
    run = [number]
    while parents[run[-1]] != run[-1]:
        run.append(parents[run[-1]])
    return tuple(reversed(run))
