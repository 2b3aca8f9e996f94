"""How Datadog's tracer is told that there is no agent."""

QUIET = {
    "DD_TRACE_STARTUP_LOGS": "false",
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_CRASHTRACKING_ENABLED": "false",
    "DD_RUNTIME_METRICS_ENABLED": "false",
    # Nothing listens there. No span is sent; whatever else wants to be finds nobody.
    "DD_TRACE_AGENT_URL": "http://127.0.0.1:9",
}
"""Nothing but spans. The tracer reads this when it is imported."""
