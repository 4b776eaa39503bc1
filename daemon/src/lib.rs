//! What every server process needs: configuration, logging, metrics endpoint, shutdown.
#![forbid(unsafe_code)]
