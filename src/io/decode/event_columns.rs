//! Many events of one kind as whole columns, in the types of the event tables: what a format with columns hands over at once.

use std::ops::RangeInclusive;

use arrow::array::{Array, Float64Array, Int64Array, StringViewArray, StringViewBuilder};
use arrow::buffer::OffsetBuffer;

use crate::io::decode::raw_event::{Field, NUMBER_FIELDS, NumberField, Pairs, RawEvent, TEXT_FIELDS, TextField};
use crate::io::decode::rejection::RejectReason;
use crate::model::event::Kind;
use crate::model::limits::EVENT_BYTES_MAX;
use crate::model::time::TimestampMs;

/// A record batch in the types of the event tables.
#[derive(Debug)]
pub struct EventColumns {
    pub(crate) ts: Int64Array,
    pub(crate) texts: [Option<StringViewArray>; TEXT_FIELDS],
    pub(crate) numbers: [Option<Float64Array>; NUMBER_FIELDS],
    pub(crate) labels: PairColumns,
    pub(crate) annotations: PairColumns,
}

/// `labels` or `annotations`: one map, single columns, or both; a single column takes precedence over the map.
#[derive(Debug, Default)]
pub(crate) struct PairColumns {
    pub(crate) map: Option<MapColumn>,
    pub(crate) named: Vec<(String, StringViewArray)>,
}

#[derive(Debug)]
pub(crate) struct MapColumn {
    pub(crate) offsets: OffsetBuffer<i32>,
    pub(crate) present: Vec<bool>,
    pub(crate) keys: StringViewArray,
    pub(crate) values: StringViewArray,
}

/// Bytes of all texts of a column.
pub(crate) fn bytes_in(texts: &StringViewArray) -> usize {
    texts.lengths().map(|length| length as usize).fold(0, usize::saturating_add)
}

fn text_at(texts: &StringViewArray, row: usize) -> Option<&str> {
    texts.is_valid(row).then(|| texts.value(row))
}

impl PairColumns {
    /// The pairs of a row; of a repeated key, the last counts.
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

impl EventColumns {
    pub(crate) fn rows(&self) -> usize {
        self.ts.len()
    }

    /// The times; without null if all rows are good.
    pub(crate) fn ts(&self) -> &[TimestampMs] {
        self.ts.values()
    }

    pub(crate) fn text(&self, field: TextField) -> Option<&StringViewArray> {
        self.texts[field as usize].as_ref()
    }

    pub(crate) fn number(&self, field: NumberField) -> Option<&Float64Array> {
        self.numbers[field as usize].as_ref()
    }

    /// The values of one label; `None` if no row has it.
    pub(crate) fn label(&self, key: &str) -> Option<StringViewArray> {
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

    /// Whether each row would be accepted by itself.
    pub(crate) fn all_good(&self, kind: Kind, times: RangeInclusive<TimestampMs>) -> bool {
        let needed = |field| self.text(field).is_some_and(|texts| texts.null_count() == 0);
        let fields = match kind {
            Kind::Metric => {
                needed(TextField::Name) && self.number(NumberField::Value).is_some_and(|numbers| numbers.null_count() == 0)
            }
            Kind::Log => needed(TextField::Body),
            Kind::Span => needed(TextField::Name),
            Kind::Alert | Kind::Signal => false,
        };
        let finite = |numbers: &Float64Array| numbers.iter().flatten().all(f64::is_finite);
        fields
            && self.ts.null_count() == 0
            && self.ts.values().iter().all(|ts| times.contains(ts))
            && self.numbers.iter().flatten().all(finite)
            && (self.longest_row_at_most() <= EVENT_BYTES_MAX
                || (0..self.rows()).all(|row| self.text_bytes(row) <= EVENT_BYTES_MAX))
    }

    /// An upper bound on the bytes of a row: the longest texts may belong to different rows.
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
    pub(crate) fn event(&self, row: usize) -> Result<RawEvent<'_>, RejectReason> {
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
                return Err(RejectReason::Field(format!("`{}` is {number}, no finite number", field.name())));
            }
        }
        Ok(event)
    }

    /// A row as a line of native JSON.
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
