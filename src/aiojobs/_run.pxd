from aiojobs._following cimport Following
from aiojobs._job_state cimport JobState

cpdef make_run(JobState job, Following following, coro)
