"""A feature store on PostgreSQL, for Feast by the three classes of streamflow.feast."""
