//! A lookup as a table: its columns with their types, and its rows as a batch.
//!
//! A column whose values are all numbers is one of numbers, any other one of texts. Because a slip (`9O`) would turn a threshold into a text, a
//! column that mixes the two is an error, unless the header says `:text`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use chrono::NaiveDate;

use crate::model::diagnostic::{Diagnostic, nearest};
use crate::model::event::Kind;
use crate::model::limits::LOOKUP_ROWS_MAX;
use crate::rule::lookup::cells::{Cell, Cells};
use crate::rule::lookup::{csv, yaml};

/// The lookup of teams: its key is the entity, its column `team` the owner.
pub const OWNERS: &str = "owners";
/// The column of a team.
const TEAM: &str = "team";

/// The schema of lookups: `lookup` in `lookup.limits`.
pub const SCHEMA: &str = "lookup";

/// One lookup.
#[derive(Clone, Debug)]
pub struct LookupTable {
    /// The name: that of the file without its ending.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Its text.
    pub text: Arc<str>,
    /// The columns by which a row is found.
    pub key: Vec<String>,
    /// The rows.
    pub rows: RecordBatch,
}

/// The lookups by name.
pub type Lookups = BTreeMap<String, Arc<LookupTable>>;

/// The name of the lookup in a file.
pub fn name_of(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

impl LookupTable {
    /// Reads the text of a file, whose ending says in which format it is.
    ///
    /// # Errors
    ///
    /// All that is wrong.
    pub fn new(path: &Path, text: &Arc<str>) -> Result<Self, Vec<Diagnostic>> {
        let name = name_of(path);
        if let Some(error) = bad_name(&name) {
            return Err(vec![error]);
        }
        let is_csv = path.extension().is_some_and(|ext| ext == "csv");
        let (cells, mut errors) = if is_csv { csv::parse(text) } else { (yaml::parse(text)?, Vec::new()) };
        if cells.header.is_empty() {
            let hint = "begin with a line of column names: service,most";
            return Err(vec![Diagnostic::new(0..0, "the lookup has no columns", hint)]);
        }
        let columns = columns(&cells, &mut errors);
        if cells.rows.len() > LOOKUP_ROWS_MAX {
            let message = format!("the lookup has {} rows, at most {LOOKUP_ROWS_MAX} are allowed", cells.rows.len());
            let row = cells.rows[LOOKUP_ROWS_MAX].first().map_or(0..0, |cell| cell.span.clone());
            errors.push(Diagnostic::new(row, message, "a lookup is a small table that people write"));
        }
        if name == OWNERS && columns.iter().all(|column| column.name != TEAM) {
            let place = cells.header[0].span.clone();
            let hint = "its first column is the entity of alerts, and `team` who owns it: entity,team";
            errors.push(Diagnostic::new(place, "the lookup `owners` has no column `team`", hint));
        }
        let key = key(&cells, &columns, &mut errors);
        let fields: Vec<Field> = columns.iter().map(|column| Field::new(&column.name, column.data_type(), true)).collect();
        let arrays: Vec<ArrayRef> =
            columns.iter().enumerate().map(|(at, column)| column.array(&cells, at, &mut errors)).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(|error| vec![Diagnostic::without_hint(0..0, format!("the rows make no table: {error}"))])?;
        Ok(Self { name, path: path.to_path_buf(), text: Arc::clone(text), key, rows })
    }
}

impl LookupTable {
    /// The teams by entity, where this is the lookup of owners.
    pub fn owners(&self) -> Option<BTreeMap<Arc<str>, Arc<str>>> {
        let column = |name: &str| self.rows.column_by_name(name)?.as_string_view_opt();
        let (true, [entity]) = (self.name == OWNERS, self.key.as_slice()) else { return None };
        let pairs = column(entity)?.iter().zip(column(TEAM)?);
        Some(pairs.filter_map(|(entity, team)| Some((entity?.into(), team?.into()))).collect())
    }

    /// The days in the column `date`, or in the first one.
    ///
    /// # Errors
    ///
    /// It holds something else: what.
    pub fn days(&self) -> Result<BTreeSet<NaiveDate>, String> {
        let column = self.rows.column_by_name("date").unwrap_or_else(|| self.rows.column(0));
        let Some(days) = column.as_string_view_opt() else { return Err(format!("the days of `{}` are numbers", self.name)) };
        let day = |text: &str| text.parse().map_err(|_| format!("`{text}` in `{}` is no day", self.name));
        days.iter().flatten().map(day).collect()
    }
}

fn bad_name(name: &str) -> Option<Diagnostic> {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !plain {
        let message = format!("a lookup cannot be called `{name}`");
        return Some(Diagnostic::new(0..0, message, "name the file with small letters, digits and `_`: limits.csv"));
    }
    Kind::of_table(name).map(|_| Diagnostic::new(0..0, format!("`{name}` is a stream of events"), "give the file another name"))
}

struct ColumnSpec {
    name: String,
    numbers: bool,
}

impl ColumnSpec {
    fn data_type(&self) -> DataType {
        if self.numbers { DataType::Float64 } else { DataType::Utf8View }
    }

    fn array(&self, cells: &Cells, at: usize, errors: &mut Vec<Diagnostic>) -> ArrayRef {
        let values = cells.rows.iter().map(|row| &row[at]);
        if !self.numbers {
            return Arc::new(values.map(|cell| cell.text.as_deref()).collect::<StringViewArray>());
        }
        let number = |cell: &Cell| {
            let number = cell.text.as_deref().map(number_of);
            if number == Some(None) {
                let written = cell.text.as_deref().unwrap_or_default();
                let message = format!("`{written}` is no number, as other values of `{}` are", self.name);
                let hint = format!("correct it, or name the column `{}:text` in the header", self.name);
                errors.push(Diagnostic::new(cell.span.clone(), message, hint));
            }
            number.flatten()
        };
        Arc::new(values.map(number).collect::<Float64Array>())
    }
}

fn number_of(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The columns with their types, as the header says, else as the values are.
fn columns(cells: &Cells, errors: &mut Vec<Diagnostic>) -> Vec<ColumnSpec> {
    let mut columns: Vec<ColumnSpec> = Vec::new();
    for (at, cell) in cells.header.iter().enumerate() {
        let written = cell.text.as_deref().unwrap_or_default();
        let (name, kind) = written.split_once(':').map_or((written, None), |(name, kind)| (name.trim(), Some(kind.trim())));
        let numbers = match kind {
            Some("number") => true,
            Some("text") => false,
            Some(other) => {
                let message = format!("`{other}` is no type of a column");
                errors.push(Diagnostic::new(cell.span.clone(), message, "write `:number` or `:text`, or leave it out"));
                false
            }
            // A number in quotes is a text.
            None => {
                cells.rows.iter().any(|row| !row[at].quoted && row[at].text.as_deref().is_some_and(|it| number_of(it).is_some()))
            }
        };
        if name.is_empty() {
            errors.push(Diagnostic::new(cell.span.clone(), "a column without a name", "name every column in the header"));
        } else if columns.iter().any(|known| known.name == name) {
            let message = format!("two columns are called `{name}`");
            errors.push(Diagnostic::new(cell.span.clone(), message, "give each column a name of its own"));
        }
        columns.push(ColumnSpec { name: name.to_string(), numbers });
    }
    columns
}

/// The columns by which a row is found, the first one where none are named. No two rows may have the same values there.
fn key(cells: &Cells, columns: &[ColumnSpec], errors: &mut Vec<Diagnostic>) -> Vec<String> {
    let mut key = Vec::new();
    let names = || columns.iter().map(|column| column.name.as_str());
    for cell in &cells.key {
        let written = cell.text.as_deref().unwrap_or_default();
        match names().position(|name| name == written) {
            Some(at) => key.push(at),
            None => {
                let near = nearest(written, names()).map(|near| format!("did you mean `{near}`?"));
                let hint = near.unwrap_or_else(|| format!("the columns are {}", names().collect::<Vec<_>>().join(", ")));
                errors.push(Diagnostic::new(cell.span.clone(), format!("the key `{written}` is no column"), hint));
            }
        }
    }
    if cells.key.is_empty() {
        key.push(0);
    }
    let mut seen: BTreeMap<Vec<Option<&str>>, usize> = BTreeMap::new();
    for (number, row) in cells.rows.iter().enumerate() {
        let values: Vec<Option<&str>> = key.iter().map(|at| row[*at].text.as_deref()).collect();
        let Some(place) = key.first().map(|at| row[*at].span.clone()) else { continue };
        if values.iter().any(Option::is_none) {
            let message = "a row without a value for the key";
            errors.push(Diagnostic::new(place, message, format!("give it one: {}", key_in_words(&key, columns))));
        } else if seen.insert(values.clone(), number).is_some() {
            let written = values.iter().map(|value| value.unwrap_or_default()).collect::<Vec<_>>().join(", ");
            let message = format!("the key `{written}` is there twice");
            let hint =
                format!("a row is found by {}; name other columns with `{}`", key_in_words(&key, columns), "key: env, service");
            errors.push(Diagnostic::new(place, message, hint));
        }
    }
    key.iter().map(|at| columns[*at].name.clone()).collect()
}

fn key_in_words(key: &[usize], columns: &[ColumnSpec]) -> String {
    key.iter().map(|at| format!("`{}`", columns[*at].name)).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use arrow::datatypes::Float64Type;

    use super::*;

    fn read(file: &str, text: &str) -> Result<LookupTable, Vec<String>> {
        LookupTable::new(Path::new(file), &Arc::from(text))
            .map_err(|errors| errors.into_iter().map(|error| format!("{}: {}", &text[error.span], error.message)).collect())
    }

    #[test]
    fn columns_have_the_type_of_their_values() {
        let csv = read("lookups/limits.csv", "service,most,zip:text,note\nchat,90,01067,\nbilling,,10115,\"50\"\n").unwrap();
        let yaml = "key: service\nrows:\n  - { service: chat, most: 90, zip: '01067' }\n  - { service: billing, zip: '10115', note: '50' }\n";
        let yaml = read("lookups/limits.yaml", yaml).unwrap();
        assert_eq!((csv.name.as_str(), &csv.rows), ("limits", &yaml.rows));
        assert_eq!(csv.key, ["service"]);
        let most = csv.rows.column(1).as_primitive::<Float64Type>();
        assert_eq!((most.value(0), most.is_null(1)), (90.0, true));
        assert_eq!(csv.rows.column(2).as_string_view().value(0), "01067");
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        assert_eq!(
            read("a.csv", "service,most\nchat,9O\nx,1\n").unwrap_err(),
            ["9O: `9O` is no number, as other values of `most` are"]
        );
        assert_eq!(read("a.csv", "service,most\nchat,1\nchat,2\n").unwrap_err(), ["chat: the key `chat` is there twice"]);
        assert_eq!(
            read("a.csv", "# key: env, servce\nenv,service\np,chat\n").unwrap_err(),
            ["servce: the key `servce` is no column"]
        );
        assert_eq!(read("a.csv", "service,service\n").unwrap_err(), ["service: two columns are called `service`"]);
        assert_eq!(read("a.csv", "service,most:integer\n").unwrap_err(), ["most:integer: `integer` is no type of a column"]);
        assert_eq!(read("a.csv", "service,most\n,1\n").unwrap_err(), [": a row without a value for the key"]);
        assert!(read("a.csv", "").is_err() && read("A-b.csv", "a\n").is_err() && read("metrics.csv", "a\n").is_err());
        assert!(read("a.csv", "# key: env, service\nenv,service\np,chat\nq,chat\n").is_ok());
    }
}
