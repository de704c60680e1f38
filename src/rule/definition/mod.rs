//! A rule as its author writes it: the file ([`file`]), its front matter ([`front_matter`], [`key_reader`], [`window_spec`], [`detectors`]), the columns
//! that its query yields ([`output_columns`]) and the texts for people ([`template`]).

pub mod active;
pub mod column_name;
pub mod detectors;
pub mod file;
pub mod front_matter;
pub mod key_reader;
mod number_filters;
pub mod output_columns;
pub mod template;
pub mod window_spec;
