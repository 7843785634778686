"""Jobs that are killed, damaged, filled and cancelled."""
