//! Framed connections with deadlines and back-pressure, generic over the messages they carry.
#![forbid(unsafe_code)]
