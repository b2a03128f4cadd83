"""The engine's plan and the quick score on a graphics card, with torch; imported only where a device is asked for."""
