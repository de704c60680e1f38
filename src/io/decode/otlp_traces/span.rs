//! A span as a row. Its time is its end: a span is sent when it has ended, and one that took ten minutes would otherwise come ten minutes
//! late.

use crate::io::decode::otlp::attributes::{self, Attributes};
use crate::io::decode::protobuf::ProtobufError;
use crate::io::decode::raw_event::{NumberField, Text, TextField};
use crate::io::decode::rows::Rows;
use crate::io::decode::semantic::peer_of_address;

/// The label that names what a span calls, which the topology learns from.
const PEER: &str = "peer.service";
/// The label of a span's kind.
const SPAN_KIND: &str = "span.kind";

/// The fields of a span.
#[derive(Debug, Default)]
pub(super) struct Span<'a> {
    pub(super) trace_id: Text<'a>,
    pub(super) span_id: Text<'a>,
    pub(super) parent_id: Text<'a>,
    pub(super) name: Text<'a>,
    pub(super) kind: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) status: u64,
    pub(super) attributes: Attributes<'a>,
}

/// Attributes that name what a span calls, the best first: the service itself, then where it is, then what it is.
const PEER_NAMES: [&str; 8] = [
    "service.peer.name",
    "peer.service",
    "server.address",
    "net.peer.name",
    "db.system.name",
    "db.system",
    "messaging.system",
    "rpc.system",
];

fn kind_name(kind: u64) -> Option<&'static str> {
    Some(match kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => return None,
    })
}

/// Writes a span.
pub(super) fn write<'a>(span: Span<'a>, rows: &mut Rows<'_, '_, 'a>) -> Result<(), ProtobufError> {
    let Span { trace_id, span_id, parent_id, name, kind, start, end, status, attributes } = span;
    rows.begin();
    // What a server span says of `server.address` is its own address.
    let calls = matches!(kind, 3..=5);
    let mut peer: Option<(usize, Text<'a>)> = None;
    for (key, value) in &attributes {
        let rank = PEER_NAMES.iter().position(|name| *name == key.as_ref()).filter(|rank| *rank < 2 || calls);
        if let Some(rank) = rank.filter(|rank| peer.as_ref().is_none_or(|(known, _)| rank < known)) {
            peer = value.clone().into_text()?.filter(|text| !text.is_empty()).map(|text| (rank, text)).or(peer);
        }
    }
    attributes::write(rows, attributes)?;
    if let Some((rank, peer)) = peer {
        rows.label(PEER, || if rank < 2 { peer } else { peer_of_address(peer) });
    }
    if let Some(kind) = kind_name(kind) {
        rows.label(SPAN_KIND, || kind.into());
    }
    rows.nanoseconds(if end == 0 { start } else { end });
    rows.set(TextField::Name, name);
    rows.set(TextField::Status, ["unset", "ok", "error"][status.min(2) as usize]);
    for (field, id) in [(TextField::TraceId, trace_id), (TextField::SpanId, span_id), (TextField::ParentId, parent_id)] {
        if !id.is_empty() {
            rows.set(field, id);
        }
    }
    if end != 0 && start != 0 {
        rows.set_number(NumberField::DurationMs, end.saturating_sub(start) as f64 / 1e6);
    }
    rows.take();
    Ok(())
}
