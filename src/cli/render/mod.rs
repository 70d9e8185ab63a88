//! What results look like: text blocks, tables, JSON, the progress bar, the closing statistics.
//!
//! Pure functions from values to text. Nothing here writes to a terminal or knows about the network.
//! Start reading at [`reply`] for one answer and at [`statistics`] for the end of a request.

pub mod columns;
pub mod document;
pub mod facts;
pub mod help;
pub mod inventory;
pub mod ping;
pub mod progress;
pub mod reply;
pub mod statistics;
pub mod style;
pub mod summary;
pub mod table;
pub mod value;
