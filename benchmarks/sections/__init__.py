"""The sections of the report: each module measures one."""
