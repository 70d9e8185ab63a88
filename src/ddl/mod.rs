//! Agent descriptions (DDL): parse, validate inputs, defaults, aggregates. Pure.
