"""Whether a coroutine of Python's own is untouched: the compiled build's half of ``_probe.py``, which says how."""

from cpython.exc cimport PyErr_Clear, PyErr_ExceptionMatches
from cpython.object cimport PyObject

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_ERROR
    PySendResult PyIter_Send(object iterator, object value, PyObject **result)

cdef object _PROBE = object()


cpdef bint is_untouched(coro) except -1:
    """Whether nothing of a coroutine that is not suspended has run, nor will by this question."""
    cdef PyObject *result
    PyIter_Send(coro, _PROBE, &result)
    untouched = PyErr_ExceptionMatches(TypeError)
    PyErr_Clear()
    return untouched
