//! Leads rows to the tables that want them. Tables whose filter lists metric names are indexed by name, so that a row costs one
//! look-up however many rules there are; the others see every row of their stream.

use std::collections::BTreeSet;

use ahash::HashMap;
use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};

/// Which tables take which rows of one stream.
#[derive(Debug, Default)]
pub struct Router {
    /// Tables by the metric name they want.
    by_name: HashMap<String, Vec<usize>>,
    /// Tables that take every row.
    all: Vec<usize>,
    tables: usize,
}

/// The rows that a table is to see.
pub enum Share<'a> {
    /// All rows of the batch.
    All,
    /// The rows at these indices, ascending.
    Some(&'a UInt32Array),
}

impl Router {
    /// Adds a table that wants the rows with these names, or all.
    pub fn add(&mut self, table: usize, names: Option<&BTreeSet<String>>) {
        self.tables = self.tables.max(table + 1);
        match names {
            Some(names) => names.iter().for_each(|name| self.by_name.entry(name.clone()).or_default().push(table)),
            None => self.all.push(table),
        }
    }

    /// Whether no table takes rows of this stream.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty() && self.all.is_empty()
    }

    /// Calls `deliver` for each table that gets rows of the batch, in a fixed order. `name_column` is where the name stands.
    pub fn route(&self, batch: &RecordBatch, name_column: Option<usize>, mut deliver: impl FnMut(usize, Share<'_>)) {
        let mut rows_of: Vec<Vec<u32>> = Vec::new();
        if let Some(column) = name_column.filter(|_| !self.by_name.is_empty()) {
            rows_of.resize(self.tables, Vec::new());
            let names = batch.column(column).as_string_view();
            // Batches come in runs of one name: collectors send a metric of all hosts together.
            let mut last: Option<(&str, Option<&Vec<usize>>)> = None;
            for row in 0..names.len() {
                let name = if names.is_valid(row) { names.value(row) } else { continue };
                let tables = match last {
                    Some((known, tables)) if known == name => tables,
                    _ => self.by_name.get(name),
                };
                last = Some((name, tables));
                tables.into_iter().flatten().for_each(|table| rows_of[*table].push(row as u32));
            }
        }
        for (table, rows) in rows_of.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            if rows.len() == batch.num_rows() {
                deliver(table, Share::All);
            } else {
                deliver(table, Share::Some(&UInt32Array::from(rows)));
            }
        }
        self.all.iter().for_each(|table| deliver(*table, Share::All));
    }
}
