//! Model, simulation, cluster, conformance and fault tests: the only place that sees every crate.
