//! The identity of a metric's series: a hash of its name, its service, host and environment, and all its labels, in any order. It is the same
//! on every machine and in every version, as states of counters are kept by it.

use crate::io::decode::raw_event::{RawEvent, TextField};

/// The digits of an identity. Eleven of them hold 64 bits, and a text of so few bytes lies inside its column's views.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const IDENTIFYING: [TextField; 4] = [TextField::Name, TextField::Service, TextField::Host, TextField::Env];

/// The identity of an event's series.
pub(crate) fn series_of(event: &RawEvent<'_>) -> String {
    let fields = IDENTIFYING.into_iter().enumerate().map(|(at, field)| hash(at as u64, event.text(field).unwrap_or_default()));
    // A sum does not depend on the order of labels.
    let labels = event.labels.0.iter().map(|(key, value)| hash(hash(IDENTIFYING.len() as u64, key), value));
    let sum = fields.chain(labels).fold(0_u64, u64::wrapping_add);
    let mixed = fold(sum, 0x9e37_79b9_7f4a_7c15);
    (0..11).map(|digit| char::from(DIGITS[(mixed >> (6 * digit)) as usize & 63])).collect()
}

/// A text's hash, eight bytes at a time.
fn hash(seed: u64, text: &str) -> u64 {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let mut state = fold(seed ^ 0xa076_1d64_78bd_642f, text.len() as u64 ^ 0xe703_7ed1_a0b4_28db);
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word), 0x8ebc_6af0_9c88_c6e3);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(state ^ u64::from_le_bytes(last), 0x5899_65cc_7537_4cc3)
}

/// Both halves of a product, so that every bit of the factors counts.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn event(labels: &[(&'static str, String)]) -> RawEvent<'static> {
        let mut event = RawEvent::default();
        event.set(TextField::Name, "http_requests_total");
        event.labels.0.extend(labels.iter().map(|(key, value)| ((*key).into(), value.clone().into())));
        event
    }

    #[test]
    fn the_order_of_labels_does_not_matter_and_their_content_does() {
        let (a, b) = (("code", "503".to_string()), ("path", "/a/long/path/of/more/than/eight/bytes".to_string()));
        let series = series_of(&event(&[a.clone(), b.clone()]));
        assert_eq!(series, series_of(&event(&[b.clone(), a.clone()])));
        assert_ne!(series, series_of(&event(std::slice::from_ref(&a))));
        assert_ne!(series_of(&event(&[("code", "path".into())])), series_of(&event(&[("path", "code".into())])));
        let many: BTreeSet<String> = (0..100_000).map(|i| series_of(&event(&[("id", i.to_string())]))).collect();
        assert_eq!(many.len(), 100_000);
    }

    /// States of counters are kept by these texts, over versions.
    #[test]
    fn identities_never_change() {
        assert_eq!(series_of(&event(&[("code", "503".into())])), "hZsQzqzPCbI");
    }
}
