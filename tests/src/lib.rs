//! Model, simulation, cluster, conformance and fault tests: the only place that sees every crate.
#![forbid(unsafe_code)]
