"""Devices, durable files, worker processes and progress display."""
