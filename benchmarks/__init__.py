"""The benchmark: what one job costs here, with aiojobs 1.4.0, and with what asyncio and others offer.

The rules of this folder
------------------------
A figure is the CPU time or the memory of a whole workload divided by its jobs, in a fresh process. Nothing
here asserts a time: timings are figures, and a goal that is not met is shown, never an error. Every contender
does the same work, and a short counted run before each measurement checks that it does.

How it works
------------
* `workloads` says what is measured: the jobs, the sizes, and what "bare asyncio doing the same" means there.
* `contenders` has one module for each kind of library; a method for each workload that makes sense for it.
  What it is given is a `Stage`: the coroutines to run, and the meter to read around the part that counts.
* `worker` is one process: one contender, one workload, one size, repeated a few times, the best one told.
* `rounds` runs workers in interleaved rounds, so that a noisy minute hits all contenders alike.
* `figures` makes medians, quartiles, ratios (round by round) and exponents of them; `goals` compares them
  with `goals.toml`; `report` and `plots` show them, in `colours` for light and dark; `front` has what stands in front.
* `compare` shows source trees of this package side by side.
* `guarantees` has a catalogue of what the library could leave out, and makes trees that do; `costs` compares
  them with the library as it is.

What is deliberately not here
-----------------------------
No profiler, and no judgement of the library: that is what the page `docs/explanation/performance.md` is for.
"""
