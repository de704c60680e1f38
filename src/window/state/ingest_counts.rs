//! What became of rows that were offered to a table.

/// Rows by what became of them. Rows that the filter rejects are in none of the counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestCounts {
    /// Aggregated, or retained.
    pub rows: u64,
    /// Dropped: their pane was sealed, they came later than the allowed lateness.
    pub late: u64,
    /// Dropped: their group found no room.
    pub overflow: u64,
}

impl IngestCounts {
    /// Adds the counts of further rows.
    pub fn add(&mut self, other: IngestCounts) {
        self.rows += other.rows;
        self.late += other.late;
        self.overflow += other.overflow;
    }
}
