"""What the task of a job runs, in C: the compiled build's half of ``_run.py``, where it says why there are two.

The rules of this file
----------------------
Whatever is done here is done there, in the same order. `Run` behaves as the coroutine does that is there: it can be
awaited and driven by anybody, one step at a time; it raises what that raises when it is driven once more, or in itself.

How it works
------------
*A step* goes straight to the job's coroutine (``PyIter_Send``), and what that passes up straight to the task. There is
no frame, and none in the traceback of what comes out.

*There is no gate*, since nothing keeps this object from being entered: whoever throws into it before its first step
finds what the gate would have done.

*Tools that look* at what a task runs see through it: it shows the frame, the code and the name of the job's coroutine,
and what that awaits.
"""

import asyncio

cdef object CoroutineType, GeneratorType  # at every first step, and a name of the module is looked up in a dict

from types import CodeType, CoroutineType, FrameType, GeneratorType, TracebackType

import cython
from cpython.exc cimport PyErr_SetObject
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from aiojobs._following cimport Following
from aiojobs._job_state cimport JobState

from ._lifecycle import Event, Outcome
from ._ownership import qualified_name
from ._steps import after_gate, cancelled_after_first_step, fail

cdef extern from *:
    """
    /* The exception that is set, as one object with its traceback, and the way back: no frame is added to it. */
    static PyObject *aiojobs_take_raised(void) {
    #if PY_VERSION_HEX >= 0x030C0000
        return PyErr_GetRaisedException();
    #else
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyErr_NormalizeException(&type, &value, &traceback);
        if (traceback != NULL) PyException_SetTraceback(value, traceback);
        Py_XDECREF(type);
        Py_XDECREF(traceback);
        return value;
    #endif
    }

    static void aiojobs_raise_again(PyObject *exc) {
        Py_INCREF(exc);
    #if PY_VERSION_HEX >= 0x030C0000
        PyErr_SetRaisedException(exc);
    #else
        Py_INCREF((PyObject *)Py_TYPE(exc));
        PyErr_Restore((PyObject *)Py_TYPE(exc), exc, PyException_GetTraceback(exc));
    #endif
    }

    /* For whoever returns to Python while an exception is set. */
    static int aiojobs_minus_one(void) { return -1; }

    static int aiojobs_is_exception(PyObject *object) { return PyExceptionInstance_Check(object); }

    /* Whether an object has an attribute; -1 if an exception is set, since asking for it raised one. */
    static int aiojobs_has(PyObject *object, PyObject *name) {
        PyObject *found = PyObject_GetAttr(object, name);
        Py_XDECREF(found);
        if (found != NULL) return 1;
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) return -1;
        PyErr_Clear();
        return 0;
    }

    /* What ``await`` drives of what is not Python's own, and what it says of what can't be driven. */
    static PyObject *aiojobs_steps(PyObject *coro) {
        PyTypeObject *type = Py_TYPE(coro);
        PyObject *steps;
        if (type->tp_as_async == NULL || type->tp_as_async->am_await == NULL)
            return PyErr_Format(
                PyExc_TypeError, "object %.100s can't be used in 'await' expression", type->tp_name
            );
        steps = type->tp_as_async->am_await(coro);
        if (steps == NULL || PyIter_Check(steps)) return steps;
        if (PyCoro_CheckExact(steps))
            PyErr_SetString(PyExc_TypeError, "__await__() returned a coroutine");
        else
            PyErr_Format(
                PyExc_TypeError, "__await__() returned non-iterator of type '%.100s'", Py_TYPE(steps)->tp_name
            );
        Py_DECREF(steps);
        return NULL;
    }

    /* From 3.14 on `python -m asyncio pstree` takes what a task runs for a coroutine and reads its frame where that
       would be, from outside and without a look at the type. Zeros say that there is none. */
    typedef struct { char zeros[PY_VERSION_HEX >= 0x030E0000 ? 16 : 0]; } aiojobs_no_frame;

    /* A type that Cython has made has no way to say this. */
    static void aiojobs_set_am_send(PyTypeObject *type, void *function) {
        type->tp_as_async->am_send = (sendfunc)function;
        PyType_Modified(type);
    }

    /* Nor this: what is raised by a method that Cython has made gets a frame, which costs more than the throw. */
    static int aiojobs_set_throw(PyTypeObject *type, void *function) {
        static PyMethodDef throw = {"throw", NULL, METH_FASTCALL, "Take a step that begins with an exception."};
        PyObject *method;
        int failed;
        throw.ml_meth = (PyCFunction)function;
        method = PyDescr_NewMethod(type, &throw);
        failed = method == NULL || PyDict_SetItemString(type->tp_dict, throw.ml_name, method);
        Py_XDECREF(method);
        PyType_Modified(type);
        return failed ? -1 : 0;
    }
    """
    ctypedef struct NoFrame "aiojobs_no_frame":
        pass
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    object take_raised "aiojobs_take_raised" ()
    object handed_on "(PyObject *)" (PyObject *result)
    object call "PyObject_Vectorcall" (object function, PyObject *const *given, Py_ssize_t count, PyObject *names)
    object awaited "aiojobs_steps" (object coro)
    void raise_again "aiojobs_raise_again" (object exc)
    int has "aiojobs_has" (object value, object name)
    void PyErr_WriteUnraisable(object where)
    PyObject *PyObject_CallMethodOneArg(object self, object name, object argument)
    PyObject *PyObject_CallMethodNoArgs(object self, object name)
    void set_am_send "aiojobs_set_am_send" (PyTypeObject *type, void *function)
    int set_throw "aiojobs_set_throw" (PyTypeObject *type, void *function) except -1
    bint is_exception "aiojobs_is_exception" (PyObject *object)
    PySendResult PyIter_Send(object iterator, object value, PyObject **result)
    int raise_what_is_set "aiojobs_minus_one" () except -1
    void PyErr_Restore(PyObject *kind, PyObject *value, PyObject *traceback)
    bint PyErr_ExceptionMatches(object kind)
    bint is_kind "PyErr_GivenExceptionMatches" (object exc, object kind)

__all__ = ("IS_COROUTINE", "is_untouched", "make_run", "take_name", "to_gate")

cdef object _FINISH = Event.FINISH
cdef object _CANCEL = Event.CANCEL
cdef object _RETURNED = Outcome.RETURNED
cdef object _CANCELLED = Outcome.CANCELLED
cdef object _Cancelled = asyncio.CancelledError
cdef object _current_task = asyncio.current_task
cdef object _value_of = StopIteration.value.__get__  # a kind of somebody's own may have another
cdef str _THROW = "throw"
cdef str _CLOSE = "close"


IS_COROUTINE = False
"""Whether a run is a coroutine of Python's, which has to be given its name and to be advanced to its gate."""


cpdef make_run(JobState job, Following following, coro):
    """A run of a job."""
    cdef Run run = Run.__new__(Run)
    run.job = job
    run.following = following
    run.coro = coro
    return run


def take_name(run, coro):
    """A run has the name of its coroutine."""


def to_gate(run):
    """A run has no gate."""


def is_untouched(Run run not None):
    """Whether nobody has begun or closed a run."""
    return not run.has_begun


@cython.final
@cython.auto_pickle(False)  # a copy would drive the same coroutine, and close it when it is dropped
cdef class Run:
    """A run of a job."""

    cdef readonly JobState job
    """None when it is over."""
    cdef readonly Following following
    """None when it is over."""
    cdef readonly object coro
    """The job's coroutine; its name when it is over."""
    cdef readonly object steps
    """What is driven; None before the first step and when it is over."""
    cdef readonly bint has_begun
    cdef readonly bint is_running
    cdef object __weakref__
    cdef NoFrame no_frame

    # --- Being driven ----------------------------------------------------------------------------------

    def __await__(self):
        return self

    def __iter__(self):
        """For ``yield from`` in a generator that is a coroutine."""
        return self

    def __next__(self):
        cdef PyObject *result = NULL
        cdef PySendResult status = drive(<PyObject *>self, <PyObject *>None, &result)
        return handed_on(told(status, result))

    def send(self, value):
        """Take a step."""
        cdef PyObject *result = NULL
        cdef PySendResult status = drive(<PyObject *>self, <PyObject *>value, &result)
        return handed_on(told(status, result))

    def close(self):
        """End, and the coroutine with it."""
        cdef PyObject *result = NULL
        cdef PySendResult status
        if self.job is None:
            return
        if not self.has_begun:
            end(self)
            return
        status = thrown(self, GeneratorExit(), &result)
        if status == PYGEN_ERROR and not PyErr_ExceptionMatches(GeneratorExit):
            raise_what_is_set()
        if status == PYGEN_ERROR:
            take_raised()
            return
        Py_DECREF(<object>result)
        if status == PYGEN_NEXT:
            raise RuntimeError("coroutine ignored GeneratorExit")

    def __del__(self):
        if self.job is not None and self.has_begun:
            self.close()

    # --- What tools see ----------------------------------------------------------------------------------

    def __repr__(self):
        return f"<coroutine object {self.__qualname__} at {<Py_ssize_t><PyObject *>self:#x}>"

    @property
    def __qualname__(self):
        return str.__str__(self.coro) if isinstance(self.coro, str) else qualified_name(self.coro)

    @property
    def __name__(self):
        if isinstance(self.coro, CoroutineType):
            return self.coro.__name__
        return self.__qualname__.rpartition(".")[2]

    @property
    def cr_code(self):
        return seen(self.coro, "cr_code", "gi_code", CodeType)

    @property
    def cr_frame(self):
        return seen(self.coro, "cr_frame", "gi_frame", FrameType)

    @property
    def cr_await(self):
        return seen(self.coro, "cr_await", "gi_yieldfrom", None)

    @property
    def cr_running(self):
        return self.is_running

    @property
    def cr_suspended(self):
        return self.steps is not None and not self.is_running

    @property
    def cr_state(self):
        """What `inspect.getcoroutinestate` asks for from 3.15 on."""
        if self.is_running:
            return "CORO_RUNNING"
        if self.job is None:
            return "CORO_CLOSED"
        return "CORO_SUSPENDED" if self.has_begun else "CORO_CREATED"

    @property
    def cr_origin(self):
        return seen(self.coro, "cr_origin", "cr_origin", tuple)


cdef PySendResult thrown(Run run, exc, PyObject **result) noexcept:
    """Throw `exc` in."""
    cdef PyObject *passed_up
    if not may_go_on(run):
        return PYGEN_ERROR
    if not run.has_begun:
        run.has_begun = True
        if is_kind(exc, GeneratorExit) or is_followed(run):
            end(run)
            raise_again(exc)
            return PYGEN_ERROR
        run.steps = after_gate(run.following, run.job, run.coro, exc)
        return drive(<PyObject *>run, <PyObject *>None, result)
    run.is_running = True
    passed_up = throw_into(run.steps, exc)
    if passed_up is not NULL:
        run.is_running = False
        result[0] = passed_up
        return PYGEN_NEXT
    if not PyErr_ExceptionMatches(StopIteration):
        return failed(run)
    return succeeded(run, _value_of(take_raised()), result)


cdef bint is_followed(Run run) noexcept:
    """Whether its task need not be the one that drives it."""
    jobs = run.following.jobs
    return run.job.task is None or (jobs and run.job in jobs)


cdef bint begin(Run run) except -1:
    run.has_begun = True
    if is_followed(run) and run.following.entered(run.job):
        run.steps = cancelled_after_first_step(run.following, run.job, run.coro, None)
    else:
        run.steps = steps_of(run.coro)
    return 0


cdef PySendResult succeeded(Run run, value, PyObject **result) noexcept:
    """The coroutine has returned."""
    result[0] = NULL
    try:
        finish(run, value)
    except BaseException as exc:
        end(run)
        raise_again(exc)
        return PYGEN_ERROR
    end(run)
    Py_INCREF(value)
    result[0] = <PyObject *>value
    return PYGEN_RETURN


cdef finish(Run run, value):
    following = run.following
    if following.jobs or run.job.owner is None:
        following.finished(run.job, _FINISH, _RETURNED, value)
    else:
        following.core.ended(run.job, _FINISH, _RETURNED, value)


cdef PySendResult failed(Run run) noexcept:
    """The coroutine has raised what is set."""
    exc = take_raised()
    try:
        account_for(run, exc)
    except BaseException as raised:
        exc = raised
    end(run)
    raise_again(as_raised(exc))
    return PYGEN_ERROR


cdef account_for(Run run, exc):
    following = run.following
    if is_kind(exc, _Cancelled):
        following.finished(run.job, _CANCEL, _CANCELLED, None)
    elif not is_kind(exc, GeneratorExit) or _current_task(following.core.bound.loop) is run.job.task:
        fail(run.job, following, exc)
    # else nobody runs this task any more: it is being destroyed, and nothing can follow


cdef void end(Run run) noexcept:
    """Let go of everything but the name."""
    job = run.job
    coro = run.coro
    steps = run.steps
    run.has_begun = True
    run.is_running = False
    run.coro = None
    run.job = None
    run.following = None
    run.steps = None
    # Last, since it may ask the coroutine for its name, and a signal may come meanwhile.
    run.coro = job.coro if isinstance(job.coro, str) else qualified_name(coro)


cdef PySendResult drive(PyObject *this, PyObject *value, PyObject **result) noexcept:
    """A step of a run: what ``am_send`` is."""
    cdef Run run = <Run>this
    cdef PySendResult status
    if not may_go_on(run):
        return PYGEN_ERROR
    if run.steps is None and <object>value is not None:
        PyErr_SetObject(TypeError, "can't send non-None value to a just-started coroutine")
        return PYGEN_ERROR
    run.is_running = True
    if run.steps is None:
        try:
            begin(run)
        except BaseException as exc:
            raise_again(exc)
            return failed(run)
    status = PyIter_Send(run.steps, <object>value, result)
    if status == PYGEN_NEXT:
        run.is_running = False
        return status
    if status == PYGEN_ERROR:
        return failed(run)
    returned = <object>result[0]
    Py_DECREF(returned)
    return succeeded(run, returned, result)


cdef PyObject *throw(PyObject *this, PyObject *const *given, Py_ssize_t count) noexcept:
    """A step of a run that begins with an exception: its method."""
    cdef PyObject *result = NULL
    cdef PySendResult status
    if count == 1 and is_exception(given[0]):
        exc = <object>given[0]
    else:
        try:
            exc = call(as_exception, given, count, NULL)
        except BaseException as refusal:
            raise_again(refusal)
            return NULL
    status = thrown(<Run>this, exc, &result)
    return told(status, result)


cdef bint may_go_on(Run run) noexcept:
    """Whether a run can take a step; if not an exception is set."""
    if run.is_running:
        PyErr_SetObject(ValueError, "coroutine already executing")
    elif run.job is None:
        PyErr_SetObject(RuntimeError, "cannot reuse already awaited coroutine")
    else:
        return True
    return False


cdef PyObject *told(PySendResult status, PyObject *result) noexcept:
    """What a step has come to, in the way in which the methods of a coroutine say it."""
    if status == PYGEN_ERROR:
        return NULL
    if status == PYGEN_NEXT:
        return result
    value = <object>result
    Py_DECREF(value)
    raise_again(StopIteration(value))
    return NULL


def as_exception(kind, value=None, traceback=None):
    """What was given to ``throw``, as one object."""
    if not issubclass(kind if isinstance(kind, type) else type(kind), BaseException):
        given = type(kind).__name__
        raise TypeError(f"exceptions must be classes or instances deriving from BaseException, not {given}")
    if traceback is not None and not isinstance(traceback, TracebackType):
        raise TypeError("throw() third argument must be a traceback object")
    if not isinstance(kind, type):
        if value is not None:
            raise TypeError("instance exception may not have a separate value")
        return kind if traceback is None else kind.with_traceback(traceback)
    PyErr_Restore(taken(kind), taken(value), taken(traceback))
    return take_raised()


cdef as_raised(exc):
    """What comes out of a coroutine that raises this: from a StopIteration one would learn that it has returned."""
    if not is_kind(exc, StopIteration):
        return exc
    raised = RuntimeError("coroutine raised StopIteration")
    raised.__cause__ = raised.__context__ = exc
    return raised


cdef PyObject *taken(value) noexcept:
    """A reference for whoever takes it over; none for None."""
    if value is None:
        return NULL
    Py_INCREF(value)
    return <PyObject *>value


cdef PyObject *throw_into(steps, exc) noexcept:
    """Throw into what is driven as ``await`` does; what that passes up, or NULL with an exception set."""
    cdef PyObject *closed
    cdef int has_method = 1
    is_closing = is_kind(exc, GeneratorExit)
    if not isinstance(steps, (CoroutineType, GeneratorType)):
        has_method = has(steps, _CLOSE if is_closing else _THROW)
    if has_method < 0 and is_closing:
        PyErr_WriteUnraisable(steps)
        has_method = 0
    if has_method == 0:
        raise_again(exc)
    if has_method <= 0:
        return NULL
    if not is_closing:
        return PyObject_CallMethodOneArg(steps, _THROW, exc)
    closed = PyObject_CallMethodNoArgs(steps, _CLOSE)
    if closed is not NULL:
        Py_DECREF(<object>closed)
        raise_again(exc)
    return NULL


cdef steps_of(coro):
    """What ``await`` drives."""
    return coro if isinstance(coro, (CoroutineType, GeneratorType)) else awaited(coro)


cdef seen(coro, attribute, of_generators, kind):
    """What tools look at; None of what is over, and of what answers something else."""
    try:
        value = getattr(coro, attribute, None)
        if value is None:
            value = getattr(coro, of_generators, None)
    except BaseException:  # what is not Python's own may answer anything
        return None
    return value if kind is None or type(value) is kind else None


set_am_send(<PyTypeObject *>Run, <void *>drive)
set_throw(<PyTypeObject *>Run, <void *>throw)
