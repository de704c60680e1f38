//! Garbage through `squelch run`, with a real server: each kind is refused and counted, memory stays within bounds, and the outage that
//! comes after it becomes the incident that it would have been.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::message::StreamMessage;

use crate::support::binary;
use crate::support::nats::NatsServer;
use crate::support::process::{Mortal, configuration, context, get, metric, read_stream, runtime};

const START_MS: i64 = 1_773_446_400_000;
const MINUTE_MS: i64 = 60_000;
/// What the process may hold at most: a message of the largest size some times over, and what rules may keep.
const RESIDENT_MIB_MAX: u64 = 512;
const GROUPS: u64 = 100_000;
/// The last case: its events are not late.
const LAST: i64 = 30;

struct Sent {
    subject: String,
    headers: Vec<(&'static str, &'static str)>,
    bytes: Vec<u8>,
}

fn plain(bytes: impl Into<Vec<u8>>) -> Vec<Sent> {
    vec![Sent { subject: "events.metrics.garbage".into(), headers: Vec::new(), bytes: bytes.into() }]
}

fn encoded(encoding: &'static str, bytes: Vec<u8>) -> Vec<Sent> {
    plain(bytes).into_iter().map(|sent| Sent { headers: vec![("Content-Encoding", encoding)], ..sent }).collect()
}

fn arrow(bytes: Vec<u8>) -> Vec<Sent> {
    let headers = vec![("Content-Type", "application/vnd.apache.arrow.stream")];
    plain(bytes).into_iter().map(|sent| Sent { headers: headers.clone(), ..sent }).collect()
}

/// A line of a metric with these fields besides; none of them is anybody's outage.
fn sample(ts: i64, more: &str) -> String {
    format!(r#"{{"ts":{ts},"name":"noise","service":"noise"{more}}}"#)
}

fn lines(all: impl IntoIterator<Item = String>) -> Vec<u8> {
    all.into_iter().collect::<Vec<_>>().join("\n").into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// 1,000 MB of spaces, in some kilobytes: members, or frames, one after the other.
fn bomb(compressed: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let bomb = compressed(&vec![b' '; 10_000_000]).repeat(100);
    assert!(bomb.len() < 8_000_000, "{} bytes", bomb.len());
    bomb
}

/// What is sent, and how many of which reason are rejected for it.
type Case = (&'static str, Vec<Sent>, Vec<(&'static str, u64)>);

fn cases() -> Vec<Case> {
    let ts = START_MS;
    let big = |bytes: usize| "x".repeat(bytes);
    let numbers = [
        "NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "inf",
        "1e999",
        "-1e999",
        "1e-",
        "0x1p3",
        "+1",
        ".5",
        "--1",
        "\"NaN\"",
        "\"nan\"",
        "\"Infinity\"",
        "\"-inf\"",
        "\"1e999\"",
        "\"0x10\"",
        "\"\"",
        "\"1,5\"",
        "[1]",
        "{}",
        "true",
    ];
    let good_numbers = ["-0", "-0.0", "0e999", "1e-999", "4.9e-324", "1.7976931348623157e308", "\"-0\"", "\" 7 \""];
    let bad_times = [
        "0",
        "-1",
        "1773446400",
        "-9223372036854775808",
        "9223372036854775807",
        "9223372036854775808",
        "1773446400000000",
        "1773446400000000000",
        "1.5",
        "\"\"",
        "\"yesterday\"",
        "\"1969-12-31T23:59:59Z\"",
        "\"0000-01-01T00:00:00Z\"",
        "\"-262143-01-01T00:00:00Z\"",
        "\"2026-02-30T00:00:00Z\"",
        "true",
        "null",
    ];
    let of_number = |number: &str| sample(ts, &format!(r#","value":{number}"#));
    let of_time = |time: &str| format!(r#"{{"ts":{time},"name":"noise","value":1}}"#);
    let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
    let inner = bomb(&gzip);
    vec![
        ("a line of 10 MB", plain(sample(ts, &format!(r#","value":1,"x":"{}""#, big(10_000_000)))), vec![("size", 1)]),
        (
            "a service of 10 MB",
            plain(format!(r#"{{"ts":{ts},"name":"noise","value":1,"service":"{}"}}"#, big(10_000_000))),
            vec![("size", 1)],
        ),
        ("10 MB without a line break", plain(big(10_000_000)), vec![("size", 1)]),
        ("10 MB of line breaks", plain("\n".repeat(10_000_000)), vec![]),
        ("10 MB of opening brackets", plain("[".repeat(10_000_000)), vec![("size", 1)]),
        (
            "a million bad lines",
            encoded("zstd", zstd::encode_all("{\n".repeat(1_000_000).as_bytes(), 1).unwrap()),
            vec![("json", 1_000_000)],
        ),
        ("an empty message", plain(""), vec![]),
        ("line breaks alone", plain("\n\r\n\n  \n"), vec![]),
        ("numbers that are none", plain(lines(numbers.map(of_number))), vec![("json", numbers.len() as u64)]),
        ("odd numbers", plain(lines(good_numbers.map(of_number))), vec![]),
        ("a key twice", plain(sample(ts, r#","value":1,"value":2,"labels":{"a":"b"},"labels":{"a":"c","a":"d"}"#)), vec![]),
        (
            "no UTF-8",
            plain(b"\xff\xfe{\"ts\":1}\n\xc3\x28\n{\"name\":\"\xed\xa0\x80\",\"value\":1,\"ts\":1773446400000}".to_vec()),
            vec![("json", 3)],
        ),
        ("a byte order mark", plain(format!("\u{feff}{}", sample(ts, r#","value":1"#))), vec![("json", 1)]),
        ("NUL", plain(b"\0\0\0\n\0{\"ts\":1}\n{\"ts\":\0}\n{\"name\":\"\0\"}".to_vec()), vec![("json", 4)]),
        ("NUL in good lines", plain(sample(ts, r#","value":1,"host":"\u0000","labels":{"\u0000":"\u0000"}"#)), vec![]),
        ("times that are none", plain(lines(bad_times.map(of_time))), vec![("time", bad_times.len() as u64)]),
        ("the year 9999", plain(lines(["253402300799999", "\"9999-12-31T23:59:59.999Z\""].map(of_time))), vec![("future", 2)]),
        ("long ago", plain(lines(["100000000000", "\"100000000000\"", "\"1973-04-01T00:00:00Z\""].map(of_time))), vec![]),
        ("a gzip bomb", encoded("gzip", inner.clone()), vec![("inflate", 1)]),
        ("a zstd bomb", encoded("zstd", bomb(&|bytes| zstd::encode_all(bytes, 1).unwrap())), vec![("inflate", 1)]),
        (
            "a bomb in a bomb",
            encoded("gzip", gzip(&inner)),
            vec![(
                "json",
                inner
                    .split(|byte| *byte == b'\n')
                    .filter(|line| !line.trim_ascii().is_empty() && line.trim_ascii().len() <= 1 << 20)
                    .count() as u64,
            )],
        ),
        (
            "a zstd window of 2 GiB",
            encoded("zstd", vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00]),
            vec![("inflate", 1)],
        ),
        ("half of a gzip", encoded("gzip", gzip(b"{}")[..12].to_vec()), vec![("inflate", 1)]),
        ("an encoding that nobody knows", encoded("br", vec![1, 2, 3]), vec![("inflate", 1)]),
        (
            "Arrow that lies about its length",
            arrow([&[0xff; 4][..], &0x7fff_fff0_u32.to_le_bytes(), &[0; 64]].concat()),
            vec![("arrow", 1)],
        ),
        ("Arrow that is none", arrow(b"ARROW1\0\0".to_vec()), vec![("arrow", 1)]),
        (
            "deep JSON",
            plain(lines([10_000, 500_000].map(|n| sample(ts, &format!(r#","value":1,"labels":{{"a":{}}}"#, deep(n)))))),
            vec![("json", 2)],
        ),
        ("labels that are no map", plain(sample(ts, r#","value":1,"labels":[1,2]"#)), vec![("json", 1)]),
        ("kinds that nobody knows", plain(sample(ts, &format!(r#","value":1,"kind":"{}""#, big(500_000)))), vec![("kind", 1)]),
        ("a million label keys", (0..20).map(|message| keys(ts, message)).collect(), vec![]),
        ("a million label values", (0..500).map(|message| values(START_MS + LAST * MINUTE_MS, message)).collect(), vec![]),
    ]
}

fn keys(ts: i64, message: usize) -> Sent {
    let line = |line: usize| {
        let labels: Vec<String> = (0..1_000).map(|key| format!(r#""k{message}_{line}_{key}":"v""#)).collect();
        sample(ts, &format!(r#","value":1,"labels":{{{}}}"#, labels.join(",")))
    };
    plain(lines((0..50).map(line))).remove(0)
}

fn values(ts: i64, message: usize) -> Sent {
    let line = |line: usize| sample(ts, &format!(r#","value":1,"labels":{{"user":"u{message}_{line}"}}"#));
    plain(lines((0..2_000).map(line))).remove(0)
}

/// The outage of a case, and an event by which its time has passed.
fn outage(case: usize) -> String {
    let ts = START_MS + case as i64 * MINUTE_MS + MINUTE_MS / 2;
    let event = |ts: i64, body: &str| format!(r#"{{"ts":{ts},"body":"{body}","service":"good-{case}","env":"production"}}"#);
    format!("{}\n{}", event(ts, "panic"), event(ts + 10_000, "fine"))
}

async fn publish(context: &Context, sent: &Sent) {
    let mut headers = HeaderMap::new();
    sent.headers.iter().for_each(|(key, value)| headers.insert(*key, *value));
    let stored = context.publish_with_headers(sent.subject.clone(), headers, sent.bytes.clone().into()).await.unwrap();
    stored.await.unwrap();
}

/// The events rejected so far, by reason.
fn rejected(squelch: &Mortal) -> BTreeMap<String, u64> {
    let shown = get(squelch.http, "metrics").unwrap_or_default();
    let of_line = |line: &str| {
        let (reason, count) = line.strip_prefix("squelch_rejected_total{reason=\"")?.split_once("\"} ")?;
        Some((reason.to_string(), count.parse().ok()?))
    };
    shown.lines().filter_map(of_line).filter(|(_, count)| *count > 0).collect()
}

fn high_water_mib(squelch: &Mortal) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", squelch.id())).unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

fn body(message: &StreamMessage) -> String {
    String::from_utf8(message.payload.to_vec()).unwrap()
}

fn rules(squelch: &Mortal) {
    let rules = squelch.dir.path().join("rules");
    std::fs::create_dir_all(&rules).unwrap();
    let write = |name: &str, rest: &str| {
        std::fs::write(rules.join(format!("{name}.sql")), format!("/*---\nrule: {name}\nseverity: critical\n{rest}")).unwrap();
    };
    write("panic", "instant: true\n---*/\nSELECT env, service, 1 AS value FROM logs WHERE body = 'panic'");
    write(
        "by_user",
        "window: 1m\n---*/\nSELECT labels['user'] AS u, count(*) AS value FROM metrics GROUP BY labels['user'] HAVING count(*) > 1000000",
    );
}

fn settings() -> String {
    format!(
        "time: {{ lateness: 0s, idle: 1h, source_wait: 0s }}\nnotify: {{ wait: 0s }}\ncheckpoint: {{ every: 1s }}\nrules: rules\n\
         limits: {{ groups: {GROUPS} }}\n"
    )
}

/// What a replay of the outages alone says.
fn undisturbed(squelch: &Mortal, server: &NatsServer, cases: usize) -> Vec<String> {
    let config = configuration(&squelch.dir, &server.url(), squelch.http, &settings());
    std::fs::write(squelch.dir.path().join("good.jsonl"), lines((0..cases).map(outage))).unwrap();
    let replay = ["replay", "--topology", "topology.yaml", "--events", "good.jsonl", "--rules", "rules", "--config"];
    let done = Command::new(binary()).current_dir(squelch.dir.path()).args(replay).arg(config).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().lines().map(String::from).collect()
}

#[test]
fn an_outage_after_garbage_is_the_incident_that_it_would_have_been() {
    let server = NatsServer::with(&["-js"], "max_payload: 16777216");
    let settings = settings();
    let mut squelch = Mortal::new(&server, &settings);
    rules(&squelch);
    runtime().block_on(async {
        let context = context(&server).await;
        squelch.start();
        let mut wanted: BTreeMap<String, u64> = BTreeMap::new();
        let (mut wrong, mut sent) = (Vec::new(), 0.0);
        let cases = cases();
        let number = cases.len();
        assert_eq!(number as i64, LAST + 1);
        for (case, (name, messages, reasons)) in cases.into_iter().enumerate() {
            for sent in &messages {
                publish(&context, sent).await;
            }
            let good = Sent { subject: "events.logs.good".into(), headers: Vec::new(), bytes: outage(case).into() };
            publish(&context, &good).await;
            reasons.into_iter().for_each(|(reason, count)| *wanted.entry(reason.into()).or_default() += count);
            let deadline = Instant::now() + Duration::from_secs(300);
            let told = format!("\"good-{case}\"");
            while !read_stream(&context, "INCIDENTS", 1).await.iter().any(|message| body(message).contains(&told)) {
                assert!(Instant::now() < deadline, "after {name} no outage is told: {}", squelch.log());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            sent += messages.len() as f64 + 1.0;
            while metric(squelch.http, "squelch_input_sequence") < sent {
                assert!(Instant::now() < deadline, "after {name} not all is taken in: {}", squelch.log());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let until = Instant::now() + Duration::from_secs(20);
            while rejected(&squelch) != wanted && Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            if rejected(&squelch) != wanted {
                wrong.push(format!("{name}: {:?} are rejected, not {wanted:?}", rejected(&squelch)));
                wanted = rejected(&squelch);
            }
            let resident = high_water_mib(&squelch);
            assert!(resident < RESIDENT_MIB_MAX, "{name}: {resident} MiB");
            eprintln!("{name}: {resident} MiB");
        }
        assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), squelch.log());
        let over = 1_000_000 - GROUPS;
        let shown = get(squelch.http, "metrics").unwrap();
        let line =
            shown.lines().find(|line| line.contains("rule=\"by_user\"") && line.contains("group_limit")).unwrap_or_default();
        let dropped: u64 = line.rsplit(' ').next().unwrap().parse().unwrap_or(0);
        assert!((over..over + 100).contains(&dropped), "{line}: the others of a million values have no group");
        let got: Vec<String> = read_stream(&context, "INCIDENTS", 1).await.iter().map(body).collect();
        let alone = undisturbed(&squelch, &server, number);
        assert!(got.len() >= number);
        for (at, (got, alone)) in got.iter().zip(&alone).enumerate() {
            assert_eq!(got, alone, "revision {at}");
        }
        squelch.stop();
    });
}

fn header(message: &StreamMessage, name: &str) -> Option<String> {
    message.headers.get(name).map(|value| value.as_str().to_string())
}

/// A message that the server does not take would be tried for ever, and nothing would come after it.
#[test]
fn what_the_server_does_not_take_whole_goes_out_shortened() {
    let server = NatsServer::start();
    let mut squelch = Mortal::new(&server, &settings());
    rules(&squelch);
    runtime().block_on(async {
        let context = context(&server).await;
        squelch.start();
        let long = "x".repeat(10_000_000);
        let compressed = encoded("zstd", zstd::encode_all(long.as_bytes(), 1).unwrap()).remove(0);
        let full = plain("y".repeat(1 << 20)).remove(0);
        let subject = format!("events.metrics.{}", "z".repeat(3_900));
        let far = Sent { subject: subject.clone(), headers: Vec::new(), bytes: b"nonsense".to_vec() };
        let word = plain(sample(START_MS, &format!(r#","value":1,"kind":"{}""#, "k".repeat(900_000)))).remove(0);
        for sent in [&compressed, &full, &far, &word] {
            publish(&context, sent).await;
        }
        let bad = read_stream(&context, "REJECTED", 4).await;
        assert_eq!(bad.len(), 4, "{}", squelch.log());
        let cut = |at: usize| header(&bad[at], "Squelch-Cut");
        assert_eq!(cut(0).as_deref(), Some("10000000"));
        assert_eq!(cut(1).as_deref(), Some("1048576"));
        assert_eq!((cut(2), cut(3)), (None, None));
        for (message, whole) in [(&bad[0], long.as_bytes()), (&bad[1], &full.bytes)] {
            assert!(message.payload.len() > 1_000_000 && whole.starts_with(&message.payload));
        }
        assert_eq!(bad[2].payload, far.bytes);
        assert_eq!(header(&bad[2], "Squelch-Subject").as_deref(), Some(subject.as_str()));
        assert!(bad[2].subject.starts_with("rejected.events.metrics.zzz") && bad[2].subject.len() < subject.len());
        assert_eq!(bad[3].payload, word.bytes);
        assert!(header(&bad[3], "Squelch-Reason").unwrap().len() < 500);

        // An incident whose every text is too long, one of too many alerts, and one that is as usual.
        let name = "s".repeat(500_000);
        let event = format!(r#"{{"ts":{START_MS},"body":"panic","service":"{name}","env":"{name}"}}"#);
        let zipped = |event: &str| Sent { subject: "events.logs.good".into(), ..encoded("zstd", zstd::encode_all(event.as_bytes(), 1).unwrap()).remove(0) };
        publish(&context, &zipped(&event)).await;
        let alert = |n: usize| {
            let ts = START_MS + n as i64;
            let text = "t".repeat(5_000);
            format!(r#"{{"kind":"alert","ts":{ts},"name":"Down{n}","severity":"critical","service":"many","env":"production","annotations":{{"summary":"{text}"}}}}"#)
        };
        publish(&context, &zipped(&(0..900).map(alert).collect::<Vec<_>>().join("\n"))).await;
        publish(&context, &zipped(&outage(1))).await;
        let mut last = Vec::new();
        for _ in 0..600 {
            last = read_stream(&context, "INCIDENTS", 1).await;
            if last.iter().any(|message| body(message).contains("\"good-1\"")) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let good = last.iter().find(|message| body(message).contains("\"good-1\"")).unwrap_or_else(|| panic!("{}", squelch.log()));
        assert!(!body(good).contains("left_out"));
        let of = |what: &str| -> Vec<serde_json::Value> {
            last.iter().filter(|message| message.subject.contains(what)).map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
        };
        let long = of(".ssss");
        assert_eq!(long[0]["alerts"].as_array().unwrap().len(), 1, "nothing of it is missing but text");
        assert!(long[0]["left_out"].is_object() && long[0]["env"].as_str().unwrap().ends_with('…'));
        let many = of(".many");
        let largest = many.iter().max_by_key(|incident| incident["alerts"].as_array().unwrap().len()).unwrap();
        let left_out = many.iter().filter_map(|incident| incident["left_out"]["alerts"].as_u64()).max();
        assert!(left_out.is_some_and(|left_out| left_out > 0), "{}", largest["left_out"]);
        squelch.wait_for("metrics", "squelch_output_truncated_total");
        squelch.stop();
    });
}

/// Two squelches with one stream of rejected input, and a stream of events that is made anew and counts from 1 again: each rejection
/// is there, once.
#[test]
fn rejections_of_several_squelches_and_of_a_new_stream_are_all_kept() {
    let server = NatsServer::start();
    let settings = settings();
    let (mut one, mut two) = (
        Mortal::new(&server, &settings),
        Mortal::new(
            &server,
            &format!("{settings}input: {{ consumer: two }}\noutput: {{ stream: TWO, subject: two, bucket: two }}\n"),
        ),
    );
    rules(&one);
    rules(&two);
    runtime().block_on(async {
        let context = context(&server).await;
        one.start();
        two.start();
        publish(&context, &plain("nonsense").remove(0)).await;
        let ids = |messages: &[StreamMessage]| -> Vec<String> {
            messages.iter().map(|message| header(message, "Nats-Msg-Id").unwrap()).collect()
        };
        let both = read_stream(&context, "REJECTED", 2).await;
        assert_eq!(both.len(), 2, "{}\n{}", one.log(), two.log());
        context.delete_stream("EVENTS").await.unwrap();
        squelch::io::nats::client::streams::Streams::new(&context, 1).input(&Default::default()).await.unwrap();
        publish(&context, &plain("other nonsense").remove(0)).await;
        let all = read_stream(&context, "REJECTED", 4).await;
        assert_eq!(all.len(), 4, "{:?}\n{}", ids(&all), one.log());
        let mut different = ids(&all);
        different.sort();
        different.dedup();
        assert_eq!(different.len(), 4, "{different:?}");
        assert!(different.iter().all(|id| id.ends_with("-1-1")), "each is of line 1 of message 1: {different:?}");
        one.stop();
        two.stop();
    });
}
