//! The protobuf formats against encoders of their own: what was encoded comes out, as JSON says the same, and of a message that is cut off
//! comes out what is before the cut.

use proptest::prelude::*;
use prost::Message;
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::format::Format;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::decode::{loki_push, otlp_metrics, prometheus_remote_write};
use squelch::model::event::{Kind, LabelKeys};

use super::rows::rows_as_json;

const TS: u64 = 1_773_456_430_000;

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeMetrics>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeMetrics {
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "7")]
    sum: Option<Sum>,
}

#[derive(Clone, PartialEq, Message)]
struct Sum {
    #[prost(message, repeated, tag = "1")]
    points: Vec<Point>,
    #[prost(int32, tag = "2")]
    temporality: i32,
    #[prost(bool, tag = "3")]
    is_monotonic: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Point {
    #[prost(fixed64, tag = "3")]
    time: u64,
    #[prost(double, optional, tag = "4")]
    double: Option<f64>,
    #[prost(sfixed64, optional, tag = "6")]
    int: Option<i64>,
    #[prost(message, repeated, tag = "7")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(bool, optional, tag = "2")]
    yes: Option<bool>,
    #[prost(int64, optional, tag = "3")]
    int: Option<i64>,
    #[prost(double, optional, tag = "4")]
    double: Option<f64>,
    #[prost(message, optional, tag = "5")]
    list: Option<List>,
}

#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(message, repeated, tag = "1")]
    values: Vec<AnyValue>,
}

fn keys() -> LabelKeys {
    let mut keys = LabelKeys::default();
    ["code", "region", "tags"].into_iter().for_each(|key| Kind::ALL.into_iter().for_each(|kind| keys.insert(kind, key)));
    keys.read_series();
    keys
}

/// All rows as lines of native JSON, and how many records were rejected.
fn decode(message: &[u8], format: &'static Format) -> (Vec<String>, usize) {
    let mut decoder = Decoder::new(&keys(), 60_000);
    let mut rejected = 0;
    let info = MessageInfo { format: Some(format), received_at: Some(TS as i64), ..MessageInfo::default() };
    decoder.message(message, info, &mut |_| rejected += 1);
    (rows_as_json(&decoder.take()), rejected)
}

fn value() -> impl Strategy<Value = AnyValue> {
    prop_oneof![
        "[a-zé\"\\\\]{0,6}".prop_map(|text| AnyValue { text: Some(text), ..AnyValue::default() }),
        any::<bool>().prop_map(|yes| AnyValue { yes: Some(yes), ..AnyValue::default() }),
        any::<i64>().prop_map(|int| AnyValue { int: Some(int), ..AnyValue::default() }),
        (-1_000..1_000_i32).prop_map(|eighths| AnyValue { double: Some(f64::from(eighths) / 8.0), ..AnyValue::default() }),
        proptest::collection::vec("[a-z]{0,3}", 0..3).prop_map(|texts| {
            let values = texts.into_iter().map(|text| AnyValue { text: Some(text), ..AnyValue::default() }).collect();
            AnyValue { list: Some(List { values }), ..AnyValue::default() }
        }),
    ]
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let key = prop_oneof![
        Just("service.name"),
        Just("app"),
        Just("host.name"),
        Just("code"),
        Just("region"),
        Just("tags"),
        Just("other")
    ];
    let pair = (key, value()).prop_map(|(key, value)| KeyValue { key: key.into(), value: Some(value) });
    proptest::collection::vec(pair, 0..5)
}

fn request() -> impl Strategy<Value = Request> {
    let point = (0..100_000_u64, any::<Option<i32>>(), attributes()).prop_map(|(at, int, attributes)| Point {
        time: (TS - at) * 1_000_000,
        double: if int.is_none() { Some(at as f64 / 8.0) } else { None },
        int: int.map(i64::from),
        attributes,
    });
    let sum = (proptest::collection::vec(point, 0..4), 0..3, any::<bool>());
    let metric = ("[a-z.]{1,8}", sum).prop_map(|(name, (points, temporality, is_monotonic))| Metric {
        name,
        sum: Some(Sum { points, temporality, is_monotonic }),
    });
    let scopes =
        proptest::collection::vec(proptest::collection::vec(metric, 0..3).prop_map(|metrics| ScopeMetrics { metrics }), 0..3);
    let resource = (attributes(), scopes)
        .prop_map(|(attributes, scopes)| ResourceMetrics { resource: Some(Resource { attributes }), scopes });
    proptest::collection::vec(resource, 1..4).prop_map(|resources| Request { resources })
}

fn json_value(value: &AnyValue) -> serde_json::Value {
    match value {
        AnyValue { text: Some(text), .. } => serde_json::json!({"stringValue": text}),
        AnyValue { yes: Some(yes), .. } => serde_json::json!({"boolValue": yes}),
        AnyValue { int: Some(int), .. } => serde_json::json!({"intValue": int.to_string()}),
        AnyValue { double: Some(double), .. } => serde_json::json!({"doubleValue": double}),
        AnyValue { list: Some(list), .. } => {
            serde_json::json!({"arrayValue": {"values": list.values.iter().map(json_value).collect::<Vec<_>>()}})
        }
        _ => serde_json::json!({}),
    }
}

fn json_attributes(attributes: &[KeyValue]) -> Vec<serde_json::Value> {
    let pair = |pair: &KeyValue| serde_json::json!({"key": pair.key, "value": json_value(pair.value.as_ref().unwrap())});
    attributes.iter().map(pair).collect()
}

fn as_json(request: &Request) -> serde_json::Value {
    let point = |point: &Point| {
        let mut json =
            serde_json::json!({"timeUnixNano": point.time.to_string(), "attributes": json_attributes(&point.attributes)});
        match (point.int, point.double) {
            (Some(int), _) => json["asInt"] = int.to_string().into(),
            (None, Some(double)) => json["asDouble"] = double.into(),
            (None, None) => {}
        }
        json
    };
    let metric = |metric: &Metric| {
        let sum = metric.sum.as_ref().unwrap();
        let points: Vec<_> = sum.points.iter().map(point).collect();
        let (temporality, is_monotonic) = (sum.temporality, sum.is_monotonic);
        let sum = serde_json::json!({"aggregationTemporality": temporality, "isMonotonic": is_monotonic, "dataPoints": points});
        serde_json::json!({"name": metric.name, "sum": sum})
    };
    let scope = |scope: &ScopeMetrics| serde_json::json!({"metrics": scope.metrics.iter().map(metric).collect::<Vec<_>>()});
    let resource = |resource: &ResourceMetrics| {
        let attributes = json_attributes(&resource.resource.as_ref().unwrap().attributes);
        let scopes: Vec<_> = resource.scopes.iter().map(scope).collect();
        serde_json::json!({"resource": {"attributes": attributes}, "scopeMetrics": scopes})
    };
    serde_json::json!({"resourceMetrics": request.resources.iter().map(resource).collect::<Vec<_>>()})
}

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    series: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

fn write_request() -> impl Strategy<Value = WriteRequest> {
    let key = prop_oneof![Just("code"), Just("region"), Just("job"), Just("instance"), Just("x")];
    let label = (key, "[a-z0-9:]{0,9}").prop_map(|(name, value)| Label { name: name.into(), value });
    let sample =
        (-1_000..1_000_i32, 0..100_000_i64).prop_map(|(value, at)| Sample { value: value.into(), timestamp: TS as i64 - at });
    let series = ("[a-z_]{1,9}", proptest::collection::vec(label, 0..4), proptest::collection::vec(sample, 0..4));
    let series = series.prop_map(|(name, mut labels, samples)| {
        labels.insert(0, Label { name: "__name__".into(), value: name });
        TimeSeries { labels, samples }
    });
    proptest::collection::vec(series, 1..5).prop_map(|series| WriteRequest { series })
}

proptest! {
    #[test]
    fn otlp_in_protobuf_and_in_json_are_the_same(request in request()) {
        let (rows, rejected) = decode(&request.encode_to_vec(), &otlp_metrics::FORMAT);
        let points = request.resources.iter().flat_map(|resource| &resource.scopes).flat_map(|scope| &scope.metrics);
        let points: usize = points.map(|metric| metric.sum.as_ref().unwrap().points.len()).sum();
        prop_assert_eq!((rows.len(), rejected), (points, 0));
        let json = as_json(&request).to_string();
        prop_assert_eq!(decode(json.as_bytes(), &otlp_metrics::FORMAT), (rows, 0));
    }

    #[test]
    fn otlp_that_is_cut_off_counts_up_to_the_cut(request in request(), at in any::<prop::sample::Index>()) {
        let message = request.encode_to_vec();
        let (all, _) = decode(&message, &otlp_metrics::FORMAT);
        let cut = at.index(message.len());
        let (rows, rejected) = decode(&message[..cut], &otlp_metrics::FORMAT);
        prop_assert_eq!(&rows[..], &all[..rows.len()]);
        prop_assert!(rejected > 0 || rows.len() <= all.len());
    }

    #[test]
    fn pieces_of_a_request_are_the_request(request in request(), max in 60..600_usize) {
        let message = request.encode_to_vec();
        let (all, _) = decode(&message, &otlp_metrics::FORMAT);
        if let Ok(pieces) = (otlp_metrics::FORMAT.split)(&message, max) {
            let rows: Vec<String> = pieces.iter().flat_map(|piece| decode(piece, &otlp_metrics::FORMAT).0).collect();
            prop_assert_eq!(rows, all);
        }
    }

    #[test]
    fn remote_write_is_what_was_encoded(request in write_request(), snappy in any::<bool>()) {
        let message = request.encode_to_vec();
        let message = if snappy { snap::raw::Encoder::new().compress_vec(&message).unwrap() } else { message };
        let (rows, rejected) = decode(&message, &prometheus_remote_write::FORMAT);
        let mut want = Vec::new();
        for TimeSeries { labels, samples } in &request.series {
            let label = |key: &str| labels.iter().rev().find(|label| label.name == key).map(|label| label.value.as_str());
            for sample in samples {
                let mut row = format!("{{\"kind\":\"metric\",\"ts\":{},\"name\":\"{}\",\"value\":{}", sample.timestamp, labels[0].value, sample.value);
                let first = |key: &str| labels.iter().find(|label| label.name == key && !label.value.is_empty());
                if let Some(job) = first("job") {
                    row += &format!(",\"service\":\"{}\"", job.value);
                }
                if let Some(instance) = first("instance") {
                    let host = instance.value.rsplit_once(':').filter(|(host, port)| {
                        !host.contains(':') && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
                    });
                    row += &format!(",\"host\":\"{}\"", host.map_or(instance.value.as_str(), |(host, _)| host));
                }
                let own: Vec<String> = ["code", "region"]
                    .iter()
                    .filter_map(|key| Some(format!("\"{key}\":\"{}\"", label(key)?)))
                    .collect();
                if !own.is_empty() {
                    row += &format!(",\"labels\":{{{}}}", own.join(","));
                }
                want.push(row + "}");
            }
        }
        let without_series = |row: &String| match row.split_once(",\"series\":\"") {
            Some((before, after)) => format!("{before}{}", after.split_once('"').unwrap().1),
            None => row.clone(),
        };
        prop_assert_eq!((rows.iter().map(without_series).collect::<Vec<_>>(), rejected), (want, 0));
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for format in squelch::io::decode::formats::FORMATS {
            decode(&bytes, format);
        }
    }
}

/// Ten thousand levels cost no stack, and the records around them count.
#[test]
fn attributes_are_nested_within_a_limit() {
    let mut value = AnyValue { text: Some("x".into()), ..AnyValue::default() }.encode_to_vec();
    let wrap = |number: u8, bytes: Vec<u8>| {
        let mut head = vec![number << 3 | 2];
        prost::encoding::encode_varint(bytes.len() as u64, &mut head);
        [head, bytes].concat()
    };
    for _ in 0..10_000 {
        value = wrap(5, wrap(1, value));
    }
    let attribute = [wrap(1, b"tags".to_vec()), wrap(2, value)].concat();
    let time = [&[0x19][..], &(TS * 1_000_000).to_le_bytes()].concat();
    let double = [&[0x21][..], &1.0_f64.to_le_bytes()].concat();
    let deep = [time.clone(), double.clone(), wrap(7, attribute)].concat();
    let good = [time, double].concat();
    let gauge = [wrap(1, good.clone()), wrap(1, deep), wrap(1, good)].concat();
    let metric = [wrap(1, b"m".to_vec()), wrap(5, gauge)].concat();
    let (rows, rejected) = decode(&wrap(1, wrap(2, wrap(2, metric))), &otlp_metrics::FORMAT);
    assert_eq!((rows.len(), rejected), (2, 1));
}

#[test]
fn a_snappy_block_that_claims_four_gigabytes_is_refused_before_memory_is_taken() {
    let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    for format in [&prometheus_remote_write::FORMAT, &loki_push::FORMAT] {
        assert_eq!(decode(&bomb, format), (Vec::new(), 1));
    }
}
