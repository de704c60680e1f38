//! Routes rows to tables. Tables whose filter lists metric names are indexed by name: one counting sort brings the rows of each name
//! together, so that a row costs one lookup however many rules there are, and each table sees one slice of rows. Other tables see
//! every row of their stream.

use std::collections::BTreeSet;

use ahash::RandomState;
use arrow::array::{Array, StringViewArray};
use hashbrown::HashTable;

/// The tables of one stream, by metric name.
#[derive(Debug, Default)]
pub struct Router {
    /// The names that tables list. The index of a name is its class.
    names: Vec<String>,
    index: HashTable<u32>,
    hasher: RandomState,
    /// The tables of each class.
    tables: Vec<Vec<usize>>,
    /// Tables that list no names.
    unfiltered: Vec<usize>,
}

/// The rows of a batch whose name some table lists, sorted by name.
#[derive(Debug, Default)]
pub struct RoutedRows {
    /// Indices of the batch's rows: class by class, within a class in the order of the batch.
    pub order: Vec<u32>,
    /// The classes that have rows, each with its range of `order`.
    pub classes: Vec<(usize, std::ops::Range<usize>)>,
}

impl Router {
    /// Adds a table that lists these metric names; `None` for every row.
    pub fn add(&mut self, table: usize, names: Option<&BTreeSet<String>>) {
        let Some(names) = names else {
            self.unfiltered.push(table);
            return;
        };
        for name in names {
            let class = self.class(name).unwrap_or_else(|| {
                let class = self.names.len() as u32;
                self.names.push(name.clone());
                self.tables.push(Vec::new());
                let (names, hasher) = (&self.names, &self.hasher);
                self.index.insert_unique(hasher.hash_one(name.as_bytes()), class, |class| {
                    hasher.hash_one(names[*class as usize].as_bytes())
                });
                class
            });
            self.tables[class as usize].push(table);
        }
    }

    fn class(&self, name: &str) -> Option<u32> {
        self.index.find(self.hasher.hash_one(name.as_bytes()), |class| self.names[*class as usize] == name).copied()
    }

    /// Whether no table reads this stream.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.unfiltered.is_empty()
    }

    /// The tables that list the name of a class.
    pub fn tables(&self, class: usize) -> &[usize] {
        &self.tables[class]
    }

    /// The tables that see every row.
    pub fn unfiltered_tables(&self) -> &[usize] {
        &self.unfiltered
    }

    /// Sorts the rows by the class of their name. Rows whose name no table lists are left out.
    pub fn route(&self, names: &StringViewArray) -> RoutedRows {
        const NONE: u32 = u32::MAX;
        if self.names.is_empty() {
            return RoutedRows::default();
        }
        let mut class_of = Vec::with_capacity(names.len());
        let mut counts = vec![0_u32; self.names.len()];
        // Collectors often send a metric of all hosts together; equal views are equal names.
        let mut last = (None, NONE);
        for (row, view) in names.views().iter().enumerate() {
            let class = if names.is_null(row) {
                NONE
            } else if last.0 == Some(view) {
                last.1
            } else {
                last = (Some(view), self.class(names.value(row)).unwrap_or(NONE));
                last.1
            };
            if class != NONE {
                counts[class as usize] += 1;
            }
            class_of.push(class);
        }
        let mut classes = Vec::new();
        let mut next = vec![0_u32; self.names.len()];
        let mut start = 0;
        for (class, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            next[class] = start;
            classes.push((class, start as usize..(start + count) as usize));
            start += count;
        }
        let mut order = vec![0; start as usize];
        for (row, class) in class_of.into_iter().enumerate().filter(|(_, class)| *class != NONE) {
            let place = &mut next[class as usize];
            order[*place as usize] = row as u32;
            *place += 1;
        }
        RoutedRows { order, classes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_together_by_name_in_their_order() {
        let mut router = Router::default();
        router.add(0, Some(&["cpu".to_string()].into()));
        router.add(1, Some(&["cpu".to_string(), "a name that is longer than twelve bytes".to_string()].into()));
        router.add(2, None);
        let long = Some("a name that is longer than twelve bytes");
        let names: StringViewArray =
            [Some("disk"), long, Some("cpu"), None, Some("cpu"), long, Some("cpu")].into_iter().collect();
        let routed = router.route(&names);
        assert_eq!(routed.order, [2, 4, 6, 1, 5]);
        assert_eq!(routed.classes, [(0, 0..3), (1, 3..5)]);
        assert_eq!((router.tables(0), router.tables(1), router.unfiltered_tables()), (&[0, 1][..], &[1][..], &[2][..]));
    }
}
