---------------------------------------------- MODULE Lifecycle ----------------------------------------------
\* Generated from spec/job.toml by `make generate`. Do not edit: change the source and regenerate.
\*
\* The life of a job: its states, what can happen to it, and every cell of the table that changes the state.

States == {"pending", "active", "closing", "done", "closed"}

Events == {"start", "finish", "cancel", "close", "expire"}

Moves == {
    <<"pending", "start", "active">>,
    <<"pending", "close", "closed">>,
    <<"active", "finish", "done">>,
    <<"active", "cancel", "closed">>,
    <<"active", "close", "closing">>,
    <<"active", "expire", "closing">>,
    <<"closing", "finish", "closed">>,
    <<"closing", "cancel", "closed">>}

==============================================================================================================
