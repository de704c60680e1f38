//! The columns of an Arrow record batch as those of an event table: which are wanted, as which type, and what one row says.

use std::ops::RangeInclusive;

use arrow::array::{Array, AsArray, Float64Array, Int64Array, RecordBatch, StringViewArray, StringViewBuilder};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float64Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;

use crate::io::decode::Reason;
use crate::io::decode::raw_event::{Field, NUMBER_FIELDS, NumberField, Pairs, RawEvent, TEXT_FIELDS, TextField};
use crate::model::event::{Kind, LabelKeys};
use crate::model::limits::{EVENT_BYTES_MAX, MESSAGE_INFLATED_BYTES_MAX};
use crate::model::time::TimestampMs;

const VIEW_BYTES: usize = size_of::<u128>();

/// What a wanted column becomes.
#[derive(Clone, Debug, PartialEq)]
enum Role {
    Time,
    Text(TextField),
    Number(NumberField),
    Labels,
    Label(String),
    Annotations,
    Annotation(String),
}

/// What is read of a stream.
#[derive(Debug)]
pub(crate) struct Plan {
    kind: Kind,
    /// Columns of the stream, and what they become, in its order.
    wanted: Vec<(usize, Role)>,
}

impl Plan {
    /// The columns that rules over `kind` can read; all there are of an alert. An unknown column is left alone.
    pub(crate) fn new(schema: &Schema, kind: Kind, label_keys: &LabelKeys) -> Result<Self, Reason> {
        let of_kind = |name: &str| kind.columns().iter().any(|(column, _)| *column == name);
        let any_label = kind == Kind::Alert || label_keys.of(kind).next().is_some();
        let role = |name: &str| {
            Some(match Field::of(name) {
                Field::Time => Role::Time,
                Field::Text(field) if of_kind(name) => Role::Text(field),
                Field::Number(field) if of_kind(name) => Role::Number(field),
                Field::Labels if any_label => Role::Labels,
                Field::Annotations if kind == Kind::Alert => Role::Annotations,
                Field::Unknown => match (key_of(name, "labels"), key_of(name, "annotations")) {
                    (Some(key), _) if kind == Kind::Alert || label_keys.of(kind).any(|known| known == key) => {
                        Role::Label(key.to_string())
                    }
                    (_, Some(key)) if kind == Kind::Alert => Role::Annotation(key.to_string()),
                    _ => return None,
                },
                _ => return None,
            })
        };
        let fields = schema.fields().iter().enumerate();
        let wanted: Vec<(usize, Role)> = fields.filter_map(|(i, field)| Some((i, role(field.name())?))).collect();
        // A row takes its eight bytes of the message so: nothing says millions of rows in a few bytes.
        if !wanted.iter().any(|(_, role)| *role == Role::Time) {
            return Err(Reason::Time("no `ts` column".into()));
        }
        for (i, role) in &wanted {
            let field = schema.field(*i);
            if !fits(role, field.data_type()) {
                return Err(Reason::Arrow(format!("column `{}` is {}: it cannot be read", field.name(), field.data_type())));
            }
        }
        Ok(Self { kind, wanted })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The places of the wanted columns.
    pub(crate) fn projection(&self) -> Vec<usize> {
        self.wanted.iter().map(|(i, _)| *i).collect()
    }

    /// Casts the columns of a batch that has the wanted ones only. `budget` is what they may still take in memory.
    pub(crate) fn columns(&self, batch: &RecordBatch, budget: &mut usize) -> Result<Columns, Reason> {
        let mut spend = |bytes: usize| {
            *budget = budget.checked_sub(bytes).ok_or_else(|| {
                Reason::Inflate(format!("more than {MESSAGE_INFLATED_BYTES_MAX} bytes come out of its columns"))
            })?;
            Ok(())
        };
        spend(batch.num_rows().saturating_mul(self.wanted.len()).saturating_mul(VIEW_BYTES))?;
        let mut columns = Columns {
            ts: Int64Array::new_null(0),
            texts: Default::default(),
            numbers: Default::default(),
            labels: PairColumns::default(),
            annotations: PairColumns::default(),
        };
        let fail = |error: ArrowError| Reason::Arrow(format!("a column cannot be read: {error}"));
        for ((_, role), array) in self.wanted.iter().zip(batch.columns()) {
            let array = array.as_ref();
            match role {
                Role::Time => columns.ts = milliseconds(array).map_err(fail)?,
                Role::Number(field) => {
                    let numbers = cast(array, &DataType::Float64).map_err(fail)?;
                    columns.numbers[*field as usize] = Some(numbers.as_primitive::<Float64Type>().clone());
                }
                Role::Text(field) => {
                    let texts = texts(array).map_err(fail)?;
                    spend(bytes_in(&texts))?;
                    columns.texts[*field as usize] = Some(texts);
                }
                Role::Label(key) | Role::Annotation(key) => {
                    let texts = texts(array).map_err(fail)?;
                    spend(bytes_in(&texts))?;
                    let pairs = if matches!(role, Role::Label(_)) { &mut columns.labels } else { &mut columns.annotations };
                    pairs.named.push((key.clone(), texts));
                }
                Role::Labels | Role::Annotations => {
                    let map = array.as_map();
                    spend(map.keys().len().saturating_mul(2 * VIEW_BYTES))?;
                    let (keys, values) = (texts(map.keys()).map_err(fail)?, texts(map.values()).map_err(fail)?);
                    spend(bytes_in(&keys).saturating_add(bytes_in(&values)))?;
                    let pairs = if *role == Role::Labels { &mut columns.labels } else { &mut columns.annotations };
                    let present = (0..map.len()).map(|row| map.is_valid(row)).collect();
                    pairs.map = Some(MapColumn { offsets: map.offsets().clone(), present, keys, values });
                }
            }
        }
        Ok(columns)
    }
}

/// `key` in `labels['key']` or `labels.key`.
fn key_of<'n>(name: &'n str, map: &str) -> Option<&'n str> {
    let rest = name.strip_prefix(map)?;
    rest.strip_prefix('.').or_else(|| rest.strip_prefix("['")?.strip_suffix("']"))
}

fn fits(role: &Role, data_type: &DataType) -> bool {
    match role {
        Role::Time => matches!(data_type, DataType::Int64 | DataType::Timestamp(..)),
        Role::Number(_) => data_type.is_numeric() || *data_type == DataType::Null,
        Role::Text(_) => is_text(data_type),
        Role::Label(_) | Role::Annotation(_) => is_label(data_type),
        Role::Labels | Role::Annotations => match data_type {
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) => match pair.iter().as_slice() {
                    [key, value] => is_text(key.data_type()) && is_label(value.data_type()),
                    _ => false,
                },
                _ => false,
            },
            _ => false,
        },
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => matches!(**values, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
        // What a column of nothing but null is to some writers.
        DataType::Null => true,
        other => matches!(other, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
    }
}

/// Numbers and booleans in labels are taken as text, as in JSON.
fn is_label(data_type: &DataType) -> bool {
    is_text(data_type) || data_type.is_integer() || data_type.is_floating() || *data_type == DataType::Boolean
}

fn texts(array: &dyn Array) -> Result<StringViewArray, ArrowError> {
    if array.data_type().is_floating() {
        // Written as those of lines are. What is not finite stands for what is missing, with writers that have no null.
        let numbers = cast(array, &DataType::Float64)?;
        let text = |number: Option<f64>| number.filter(|number| number.is_finite()).map(|number| number.to_string());
        return Ok(numbers.as_primitive::<Float64Type>().iter().map(text).collect());
    }
    Ok(cast(array, &DataType::Utf8View)?.as_string_view().clone())
}

fn bytes_in(texts: &StringViewArray) -> usize {
    texts.lengths().map(|length| length as usize).fold(0, usize::saturating_add)
}

/// What lies outside of milliseconds stays at their end, where it is rejected.
fn milliseconds(array: &dyn Array) -> Result<Int64Array, ArrowError> {
    let array = match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            array.as_primitive::<TimestampSecondType>().unary(|ts| ts.saturating_mul(1_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => array.as_primitive::<TimestampMillisecondType>().unary(|ts| ts),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            array.as_primitive::<TimestampMicrosecondType>().unary(|ts| ts.div_euclid(1_000))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            array.as_primitive::<TimestampNanosecondType>().unary(|ts| ts.div_euclid(1_000_000))
        }
        _ => array.as_primitive::<Int64Type>().clone(),
    };
    Ok(array)
}

/// A record batch in the types of the event tables.
#[derive(Debug)]
pub(crate) struct Columns {
    ts: Int64Array,
    texts: [Option<StringViewArray>; TEXT_FIELDS],
    numbers: [Option<Float64Array>; NUMBER_FIELDS],
    labels: PairColumns,
    annotations: PairColumns,
}

/// `labels` or `annotations`: one map, single columns, or both; a single column goes before the map.
#[derive(Debug, Default)]
struct PairColumns {
    map: Option<MapColumn>,
    named: Vec<(String, StringViewArray)>,
}

#[derive(Debug)]
struct MapColumn {
    offsets: OffsetBuffer<i32>,
    present: Vec<bool>,
    keys: StringViewArray,
    values: StringViewArray,
}

fn text_at(texts: &StringViewArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}

impl PairColumns {
    /// The pairs of a row, in the order in which the last of a key wins.
    fn of(&self, row: usize) -> impl Iterator<Item = (&str, &str)> {
        let in_map = self.map.iter().filter(move |map| map.present[row]).flat_map(move |map| {
            let entries = map.offsets[row] as usize..map.offsets[row + 1] as usize;
            entries.filter_map(|at| Some((text_at(&map.keys, at)?, text_at(&map.values, at)?)))
        });
        let named = self.named.iter().filter_map(move |(key, texts)| Some((key.as_str(), text_at(texts, row)?)));
        in_map.chain(named)
    }

    fn pairs(&self, row: usize) -> Pairs<'_> {
        Pairs(self.of(row).map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl Columns {
    pub(in crate::io::decode) fn rows(&self) -> usize {
        self.ts.len()
    }

    /// The times; not null where all rows are good.
    pub(in crate::io::decode) fn ts(&self) -> &[TimestampMs] {
        self.ts.values()
    }

    pub(in crate::io::decode) fn text(&self, field: TextField) -> Option<&StringViewArray> {
        self.texts[field as usize].as_ref()
    }

    pub(in crate::io::decode) fn number(&self, field: NumberField) -> Option<&Float64Array> {
        self.numbers[field as usize].as_ref()
    }

    /// The values of one label; `None` where no row has it.
    pub(in crate::io::decode) fn label(&self, key: &str) -> Option<StringViewArray> {
        let mut named = self.labels.named.iter().filter(|(known, _)| known == key);
        match (&self.labels.map, named.next(), named.next()) {
            (None, None, _) => None,
            (None, Some((_, only)), None) => Some(only.clone()),
            _ => {
                let mut builder = StringViewBuilder::with_capacity(self.rows());
                for row in 0..self.rows() {
                    builder.append_option(self.labels.of(row).filter(|(known, _)| *known == key).last().map(|(_, value)| value));
                }
                Some(builder.finish())
            }
        }
    }

    /// Whether each row is one that would be taken in by itself.
    pub(crate) fn all_good(&self, kind: Kind, times: RangeInclusive<TimestampMs>) -> bool {
        let needed = |field| self.text(field).is_some_and(|texts| texts.null_count() == 0);
        let fields = match kind {
            Kind::Metric => {
                needed(TextField::Name) && self.number(NumberField::Value).is_some_and(|numbers| numbers.null_count() == 0)
            }
            Kind::Log => needed(TextField::Body),
            Kind::Span => needed(TextField::Name),
            Kind::Alert => false,
        };
        let finite = |numbers: &Float64Array| numbers.iter().flatten().all(f64::is_finite);
        fields
            && self.ts.null_count() == 0
            && self.ts.values().iter().all(|ts| times.contains(ts))
            && self.numbers.iter().flatten().all(finite)
            && (self.longest_row_at_most() <= EVENT_BYTES_MAX
                || (0..self.rows()).all(|row| self.text_bytes(row) <= EVENT_BYTES_MAX))
    }

    /// No row has more bytes: the longest texts may be of different rows.
    fn longest_row_at_most(&self) -> usize {
        let named = self.labels.named.iter().chain(&self.annotations.named);
        let keys: usize = named.clone().map(|(key, _)| key.len()).sum();
        let texts = self.texts.iter().flatten().chain(named.map(|(_, texts)| texts));
        let longest: usize = texts.map(|texts| texts.lengths().max().unwrap_or(0) as usize).sum();
        let maps = [&self.labels, &self.annotations].into_iter().filter_map(|pairs| pairs.map.as_ref());
        keys + longest + maps.map(|map| bytes_in(&map.keys) + bytes_in(&map.values)).sum::<usize>()
    }

    /// Bytes of all texts in a row.
    pub(crate) fn text_bytes(&self, row: usize) -> usize {
        let plain: usize = self.texts.iter().flatten().filter_map(|texts| text_at(texts, row)).map(str::len).sum();
        let pairs = self.labels.of(row).chain(self.annotations.of(row));
        plain + pairs.map(|(key, value)| key.len() + value.len()).sum::<usize>()
    }

    /// A row as an event.
    pub(crate) fn event(&self, row: usize) -> Result<RawEvent<'_>, Reason> {
        let mut event = RawEvent {
            ts: self.ts.is_valid(row).then(|| Ok(self.ts.value(row))),
            labels: self.labels.pairs(row),
            annotations: self.annotations.pairs(row),
            ..RawEvent::default()
        };
        for (into, texts) in event.texts.iter_mut().zip(&self.texts) {
            *into = texts.as_ref().and_then(|texts| text_at(texts, row)).map(Into::into);
        }
        for (into, numbers) in event.numbers.iter_mut().zip(&self.numbers) {
            *into = numbers.as_ref().filter(|numbers| numbers.is_valid(row)).map(|numbers| numbers.value(row));
        }
        for field in [NumberField::Value, NumberField::DurationMs] {
            if let Some(number) = event.number(field).filter(|number| !number.is_finite()) {
                return Err(Reason::Field(format!("`{}` is {number}, no finite number", field.name())));
            }
        }
        Ok(event)
    }

    /// A row as the line that would have said the same.
    pub(crate) fn row_as_json(&self, kind: Kind, row: usize) -> Vec<u8> {
        let mut line = serde_json::Map::new();
        for (name, _) in kind.columns() {
            let value = match Field::of(name) {
                Field::Time => self.ts.is_valid(row).then(|| self.ts.value(row).into()),
                Field::Text(field) => self.text(field).and_then(|texts| text_at(texts, row)).map(Into::into),
                Field::Number(field) => {
                    self.number(field).filter(|numbers| numbers.is_valid(row)).map(|numbers| numbers.value(row).into())
                }
                _ => None,
            };
            if let Some(value) = value {
                line.insert(name.to_string(), value);
            }
        }
        for (name, pairs) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            let pairs: serde_json::Map<_, _> = pairs.of(row).map(|(key, value)| (key.to_string(), value.into())).collect();
            if !pairs.is_empty() {
                line.insert(name.to_string(), pairs.into());
            }
        }
        serde_json::Value::Object(line).to_string().into_bytes()
    }
}
