"""The app's screens, one folder a feature. They ask operations and show the answer."""
