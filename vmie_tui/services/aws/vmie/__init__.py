"""VM Import/Export: import, export and conversion tasks, over Regions and profiles."""
