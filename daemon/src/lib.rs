//! What every server process needs: configuration, logging, metrics endpoint, shutdown.
