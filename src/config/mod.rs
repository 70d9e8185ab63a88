//! Configuration: file format, the table of keys, typed settings.
