"""The one front desk: what a user can do, as screens and commands ask for it. Decides; shows nothing."""
