"""Mode 4: instances and images that can be exported, the export form, deployment and download."""
