"""VM Import/Export: import, export and conversion tasks, across Regions and profiles."""
