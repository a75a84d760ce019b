"""The job database: tables, records, typed ledgers, views for the screens, the journal of EBS blocks."""
