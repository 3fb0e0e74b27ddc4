"""Statistics of months and feature views, their drift, and what people see of both."""
