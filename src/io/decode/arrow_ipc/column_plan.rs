//! Which columns of an Arrow stream are read, and their cast to the types of the event tables.

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float64Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;

use crate::io::decode::event_columns::{EventColumns, MapColumn, PairColumns, bytes_in};
use crate::io::decode::raw_event::{Field, NumberField, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::model::event::{Kind, LabelKeys};
use crate::model::limits::MESSAGE_INFLATED_BYTES_MAX;

const VIEW_BYTES: usize = size_of::<u128>();

/// What a column that is read becomes.
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

/// The columns that are read of a stream.
#[derive(Debug)]
pub(crate) struct ColumnPlan {
    kind: Kind,
    /// Column indices of the stream, in its order, and what each becomes.
    wanted: Vec<(usize, Role)>,
}

impl ColumnPlan {
    /// The columns that rules over `kind` can read; of an alert, all columns. An unknown column is skipped.
    pub(crate) fn new(schema: &Schema, kind: Kind, label_keys: &LabelKeys) -> Result<Self, RejectReason> {
        let of_kind = |name: &str| kind.columns().iter().any(|(column, _)| *column == name);
        let any_label = kind == Kind::Alert || label_keys.reads_any(kind);
        let role = |name: &str| {
            Some(match Field::of(name) {
                Field::Time => Role::Time,
                Field::Text(field) if of_kind(name) => Role::Text(field),
                Field::Number(field) if of_kind(name) => Role::Number(field),
                Field::Labels if any_label => Role::Labels,
                Field::Annotations if kind == Kind::Alert => Role::Annotations,
                Field::Unknown => match (key_of(name, "labels"), key_of(name, "annotations")) {
                    (Some(key), _) if kind == Kind::Alert || label_keys.reads(kind, key) => Role::Label(key.to_string()),
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
            return Err(RejectReason::Time("no `ts` column".into()));
        }
        for (i, role) in &wanted {
            let field = schema.field(*i);
            if !fits(role, field.data_type()) {
                return Err(RejectReason::Arrow(format!(
                    "column `{}` is {}: it cannot be read",
                    field.name(),
                    field.data_type()
                )));
            }
        }
        Ok(Self { kind, wanted })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The indices of the columns.
    pub(crate) fn projection(&self) -> Vec<usize> {
        self.wanted.iter().map(|(i, _)| *i).collect()
    }

    /// Casts the columns of a projected batch. `budget` is the memory that they may still take.
    pub(crate) fn columns(&self, batch: &RecordBatch, budget: &mut usize) -> Result<EventColumns, RejectReason> {
        let mut spend = |bytes: usize| {
            *budget = budget.checked_sub(bytes).ok_or_else(|| {
                RejectReason::Inflate(format!("more than {MESSAGE_INFLATED_BYTES_MAX} bytes come out of its columns"))
            })?;
            Ok::<(), RejectReason>(())
        };
        spend(batch.num_rows().saturating_mul(self.wanted.len()).saturating_mul(VIEW_BYTES))?;
        let mut columns = EventColumns {
            ts: Int64Array::new_null(0),
            texts: Default::default(),
            numbers: Default::default(),
            labels: PairColumns::default(),
            annotations: PairColumns::default(),
        };
        let fail = |error: ArrowError| RejectReason::Arrow(format!("a column cannot be read: {error}"));
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

/// A time beyond the range of milliseconds saturates, and is rejected later.
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
