//! How fast squelch is, as ratios within one run: `make bench`.
//!
//! criterion measures decoding and the engine; the process is measured whole against a real nats-server. The tables at the end
//! quote each figure beside a named baseline of the same run: on another machine the times differ, the ratios hardly.

#![allow(missing_docs, unreachable_pub, reason = "nobody reads a benchmark's interface")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark that cannot run should stop")]
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark prints, waits and measures")]

mod formats;
#[path = "../tests/it/support/nats.rs"]
mod nats;
mod process;
mod storm;
mod windows;
mod workload;

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::ipc::writer::StreamWriter;
use criterion::{BatchSize, Criterion, Throughput};
use squelch::engine::{Engine, EngineParams, Input};
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::format::Format;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::decode::{arrow_ipc, native_json};
use squelch::model::event::{Kind, LabelKeys};
use squelch::topology::Topology;

use crate::workload::Workload;

const EVENTS: usize = 100_000;
const EVENTS_A_MESSAGE: usize = 100;
/// Names of benchmarks over Arrow streams, and their events a message.
const ARROW: [(&str, usize); 2] = [("arrow ipc", EVENTS_A_MESSAGE), ("arrow ipc, 1000 a message", 1_000)];

fn main() {
    let quick = std::env::args().any(|argument| argument == "--test");
    // Whoever asks for some of the benchmarks does not wait for the process.
    let some = std::env::args().skip(1).any(|argument| !argument.starts_with('-'));
    let mut arguments = std::env::args().skip(1).skip_while(|argument| argument != "windows-memory").skip(1);
    if let Some(at) = arguments.next() {
        return windows::measure_memory(at.parse().unwrap());
    }
    if std::env::args().any(|argument| argument == "windows") {
        return windows::tables();
    }
    let one = |name: &str| std::env::args().any(|argument| argument == name);
    if one("process") {
        return process::tables();
    }
    if one("storm") {
        return storm::tables();
    }
    let results = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("criterion");
    let mut criterion = Criterion::default().configure_from_args().output_directory(&results).sample_size(10);
    decode(&mut criterion);
    engine(&mut criterion);
    criterion.final_summary();
    if quick {
        return;
    }
    tables(&results);
    if !some {
        windows::tables();
        storm::tables();
        process::tables();
    }
}

fn decode(criterion: &mut Criterion) {
    let workload = Workload::new(1, EVENTS, EVENTS_A_MESSAGE);
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("squelch", |bench| {
        let mut decoder = Decoder::new(&workload.book().label_keys, i64::MAX);
        bench.iter(|| decode_all(&mut decoder, &workload.messages, &native_json::FORMAT));
    });
    for (name, events_a_message) in ARROW {
        let messages = arrow_messages(&Workload::new(1, EVENTS, events_a_message));
        group.bench_function(name, |bench| {
            let mut decoder = Decoder::new(&workload.book().label_keys, i64::MAX);
            bench.iter(|| assert_eq!(decode_all(&mut decoder, &messages, &arrow_ipc::FORMAT), EVENTS));
        });
    }
    for (format, encode) in formats::FORMATS {
        let messages = formats::messages(&workload, encode);
        group.bench_function(format.name, |bench| {
            let mut decoder = Decoder::new(&workload.book().label_keys, i64::MAX);
            bench.iter(|| assert_eq!(decode_all(&mut decoder, &messages, format), EVENTS));
        });
    }
    // The baseline: what it costs to read the same lines into untyped values.
    group.bench_function("serde_json values", |bench| {
        bench.iter(|| {
            for message in &workload.messages {
                for line in message.split(|byte| *byte == b'\n') {
                    let value: serde_json::Value = serde_json::from_slice(line).unwrap();
                    std::hint::black_box(value);
                }
            }
        });
    });
    group.finish();
}

fn decode_all(decoder: &mut Decoder, messages: &[Vec<u8>], format: &'static Format) -> usize {
    let info = MessageInfo { kind: Some(Kind::Metric), format: Some(format), ..MessageInfo::default() };
    let mut events = 0;
    for message in messages {
        decoder.message(message, info, &mut |bad| panic!("{}", bad.reason));
        if decoder.is_full() {
            events += decoder.take().events();
        }
    }
    events + decoder.take().events()
}

/// The same events as Arrow streams with labels, texts as most writers have them.
fn arrow_messages(workload: &Workload) -> Vec<Vec<u8>> {
    let mut label_keys = LabelKeys::default();
    label_keys.insert(Kind::Metric, "code");
    label_keys.insert(Kind::Metric, "region");
    let mut decoder = Decoder::new(&label_keys, i64::MAX);
    let info = MessageInfo { kind: Some(Kind::Metric), ..MessageInfo::default() };
    let stream = |message: &Vec<u8>| {
        decoder.message(message, info, &mut |bad| panic!("{}", bad.reason));
        let [metrics, ..] = decoder.take().tables;
        let schema = metrics.schema();
        let columns = schema.fields().iter().zip(metrics.columns()).map(|(field, column)| match field.data_type() {
            DataType::Utf8View => (field.name(), cast(column, &DataType::Utf8).unwrap()),
            _ => (field.name(), column.clone()),
        });
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    };
    workload.messages.iter().map(stream).collect()
}

/// From bytes to incidents, with the decoder.
fn engine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("end to end");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for rules in [1, 100] {
        let workload = Workload::new(rules, EVENTS, EVENTS_A_MESSAGE);
        group.bench_function(format!("{rules} rules"), |bench| {
            let fresh = || {
                let book = workload.book();
                let decoder = Decoder::new(&book.label_keys, i64::MAX);
                (Engine::new(book.rules, Topology::default(), &EngineParams::default()).unwrap(), decoder)
            };
            bench.iter_batched(
                fresh,
                |(mut engine, mut decoder)| run(&mut engine, &mut decoder, &workload),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn run(engine: &mut Engine, decoder: &mut Decoder, workload: &Workload) -> usize {
    let info = MessageInfo { kind: Some(Kind::Metric), ..MessageInfo::default() };
    let mut revisions = 0;
    for message in &workload.messages {
        decoder.message(message, info, &mut |bad| panic!("{}", bad.reason));
        if decoder.is_full() {
            revisions += engine.step(Input::Events(&decoder.take())).len();
        }
    }
    revisions += engine.step(Input::Events(&decoder.take())).len();
    assert_eq!(engine.stats().events, EVENTS as u64, "every event was taken in");
    revisions + engine.step(Input::End).len()
}

/// Events a second of one benchmark, from criterion's estimate.
fn events_a_second(results: &Path, group: &str, name: &str) -> Option<f64> {
    let file = results.join(group).join(name).join("new/estimates.json");
    let estimates: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    Some(EVENTS as f64 / (estimates["median"]["point_estimate"].as_f64()? / 1e9))
}

fn tables(results: &Path) {
    let rate = |group, name| events_a_second(results, group, name).unwrap_or(f64::NAN);
    let decode = rate("decode", "squelch");
    println!("\none core, {EVENTS} metrics of {} bytes, {EVENTS_A_MESSAGE} a message", Workload::new(1, 1, 1).messages[0].len());
    println!("| what | events/s | ratio | to |\n|---|---:|---:|---|");
    let row = |what: &str, rate: f64, to: f64, baseline: &str| {
        println!("| {what} | {:.2} M | {:.2} | {baseline} |", rate / 1e6, rate / to)
    };
    row("decode to Arrow", decode, rate("decode", "serde_json values"), "serde_json into untyped values");
    for (name, _) in ARROW {
        row(&format!("{name} to Arrow"), rate("decode", name), decode, "decoding lines");
    }
    for (format, _) in formats::FORMATS {
        row(&format!("{} to Arrow", format.name), rate("decode", format.name), decode, "decoding lines");
    }
    row("1 rule, bytes to incidents", rate("end to end", "1 rules"), decode, "decoding alone");
    row("100 rules, bytes to incidents", rate("end to end", "100 rules"), decode, "decoding alone");
}
