//! What people ask of squelch: acknowledgements, silences, notes, and incidents that are put together or taken apart by hand.

use squelch::engine::commands::CommandResults;
use squelch::engine::partial::partition_counter::PartitionCounter;
use squelch::engine::partial::result::PartialResult;
use squelch::engine::{Engine, EngineParams, Input};
use squelch::incident::revision::Revision;
use squelch::incident::silence::SilenceState;
use squelch::io::decode::command::CommandOrigin;
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::io::incident_message;
use squelch::model::command::CommandKind;
use squelch::model::event::LabelKeys;
use squelch::topology::{Edge, Topology, TopologyDefinition};

const START_MS: i64 = 1_773_446_400_000;

/// An engine without rules: other systems' alerts and commands are all that comes.
struct Night {
    engine: Engine,
    decoder: Decoder,
    results: CommandResults,
    /// How many commands were sent.
    sent: u32,
}

impl Night {
    fn new() -> Self {
        Self::over(&[("web", "db"), ("shop", "db")])
    }

    fn over(edges: &[(&str, &str)]) -> Self {
        let edges = edges.iter().map(|(from, to)| Edge::calls(from, to)).collect();
        let topology = Topology::new(TopologyDefinition { nodes: Vec::new(), edges });
        let params = EngineParams { lateness_ms: 0, ..EngineParams::default() };
        let engine = Engine::new(Vec::new(), topology, &params).unwrap();
        Self { engine, decoder: Decoder::new(&LabelKeys::default(), i64::MAX), results: CommandResults::default(), sent: 0 }
    }

    fn step(&mut self) -> Vec<Revision> {
        let revisions = self.engine.step(Input::Events(&self.decoder.take()));
        let CommandResults { answers, silences } = self.engine.take_command_results();
        self.results.answers.extend(answers);
        self.results.silences.extend(silences);
        revisions
    }

    fn event(&mut self, at_s: i64, fields: &str) -> Vec<Revision> {
        let line = format!("{{\"ts\":{},{fields}}}", START_MS + at_s * 1000);
        self.decoder.message(line.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{line}: {}", bad.reason));
        self.step()
    }

    /// An alert of another system about a service.
    fn alert(&mut self, at_s: i64, status: &str, severity: &str, name: &str, service: &str) -> Vec<Revision> {
        let fields =
            format!(r#""kind":"alert","name":"{name}","status":"{status}","severity":"{severity}","service":"{service}""#);
        self.event(at_s, &fields)
    }

    fn fails(&mut self, at_s: i64, service: &str) -> Vec<Revision> {
        self.alert(at_s, "firing", "warning", "Down", service)
    }

    /// Time passes: something that matters to nobody is seen.
    fn until(&mut self, at_s: i64) -> Vec<Revision> {
        self.event(at_s, r#""kind":"log","body":"all is well""#)
    }

    fn command(&mut self, kind: CommandKind, fields: &str) -> Vec<Revision> {
        self.sent += 1;
        let id = format!("7d5c2f0e-3a52-5d1b-9c55-{:012x}", self.sent);
        let id = if fields.contains("\"id\"") { String::new() } else { format!(",\"id\":\"{id}\"") };
        let body = format!("{{\"by\":\"ann\"{id}{fields}}}");
        let info = MessageInfo { command: Some(CommandOrigin::Subject(kind)), ..MessageInfo::default() };
        self.decoder.message(body.as_bytes(), info, &mut |bad| panic!("{body}: {}", bad.reason));
        self.step()
    }

    /// What the sender of the last command was answered: nothing, or why it was refused.
    fn answer(&self) -> String {
        let answer = self.results.answers.last().expect("a command was answered");
        answer.outcome.as_ref().err().cloned().unwrap_or_default()
    }

    /// The id of the silence that the last command made.
    fn silence(&self) -> String {
        let answer = self.results.answers.last().expect("a command was answered");
        answer.outcome.as_ref().expect("it was accepted").silence.expect("it made a silence").to_string()
    }
}

/// `change code` of each.
fn codes(revisions: &[Revision]) -> Vec<String> {
    revisions.iter().map(|revision| format!("{} {}", revision.change.as_str(), revision.decision.code())).collect()
}

fn message(revision: &Revision) -> serde_json::Value {
    serde_json::from_str(&incident_message::to_json(revision)).unwrap()
}

/// An open incident about `db` of which people know.
fn notified(night: &mut Night) -> String {
    let opened = night.fails(0, "db");
    assert_eq!(codes(&opened), ["opened waiting_for_related"]);
    assert_eq!(codes(&night.until(60)), ["updated first_notification"]);
    opened[0].id.to_string()
}

/// What comes until each of these seconds, after what came before.
fn later(night: &mut Night, mut revisions: Vec<Revision>, times: &[i64]) -> Vec<Revision> {
    revisions.extend(times.iter().flat_map(|at| night.until(*at)));
    revisions
}

#[test]
fn an_acknowledged_incident_is_not_repeated_until_it_gets_worse() {
    let mut night = Night::new();
    let id = notified(&mut night);
    let acknowledged = night.command(CommandKind::Acknowledge, &format!(r#","incident":"{id}","comment":"on it""#));
    assert_eq!(codes(&acknowledged), ["acknowledged acknowledged"]);
    let shown = message(&acknowledged[0]);
    assert_eq!((&shown["acknowledged"]["by"], &shown["acknowledged"]["comment"]), (&"ann".into(), &"on it".into()));
    assert_eq!(shown["notify"]["reason"], "acknowledged by ann");
    // More of the same, and the time of the next repeat: nobody is notified.
    let mut quiet = night.fails(100, "web");
    quiet = later(&mut night, quiet, &[101, 600]);
    for service in ["db", "web"] {
        quiet.extend(night.fails(10_000, service));
    }
    let quiet = later(&mut night, quiet, &[15_000, 20_000]);
    assert!(!quiet.is_empty() && !quiet.iter().any(|revision| revision.decision.is_sent()), "{:?}", codes(&quiet));
    // It gets worse.
    let worse = night.alert(20_100, "firing", "critical", "Down", "db");
    let worse = later(&mut night, worse, &[20_110]);
    let sent: Vec<&Revision> = worse.iter().filter(|revision| revision.decision.is_sent()).collect();
    assert_eq!(sent.iter().map(|revision| revision.decision.code()).collect::<Vec<_>>(), ["severity_rose"]);
    assert_eq!(message(sent[0]).get("acknowledged"), None, "it ended");
}

#[test]
fn an_acknowledgement_may_run_out_and_be_taken_back() {
    let mut night = Night::new();
    let id = notified(&mut night);
    night.command(CommandKind::Acknowledge, &format!(r#","incident":"{id}","for":"1h""#));
    assert_eq!(codes(&night.until(3_000)), [""; 0]);
    assert_eq!(codes(&night.until(3_700)), ["updated acknowledgement_ended"]);
    night.command(CommandKind::Acknowledge, &format!(r#","incident":"{id}""#));
    assert_eq!(codes(&night.command(CommandKind::Unacknowledge, &format!(r#","incident":"{id}""#))), ["updated nothing_new"]);
    night.command(CommandKind::Unacknowledge, &format!(r#","incident":"{id}""#));
    assert!(night.answer().contains("is not acknowledged"), "{}", night.answer());
}

#[test]
fn a_silenced_alert_stays_in_its_incident_and_nobody_is_notified() {
    let mut night = Night::new();
    night.until(-10);
    let silenced = night.command(CommandKind::Silence, r#","matchers":["service=web"],"for":"10m","comment":"known""#);
    assert!(silenced.is_empty() && night.answer().is_empty(), "{}", night.answer());
    let id = night.silence();
    let opened = night.fails(0, "web");
    let revisions = later(&mut night, opened, &[1, 30, 60, 300, 500]);
    assert_eq!(codes(&revisions), ["opened silenced"]);
    let shown = message(&revisions[0]);
    assert_eq!(shown["alerts"][0]["silenced_by"][0], id.as_str());
    assert_eq!((&shown["silenced"][0]["id"], &shown["silenced"][0]["comment"]), (&id.as_str().into(), &"known".into()));
    assert_eq!(shown["notify"]["reason"], "silenced by ann until 2026-03-14T00:09:50Z");
    // It ends, and the alert still fires.
    assert_eq!(codes(&night.until(600)), ["updated first_notification"]);
    let states: Vec<SilenceState> = night.results.silences.iter().map(|(_, shown)| shown.as_ref().unwrap().1).collect();
    assert_eq!(states, [SilenceState::Active, SilenceState::Expired]);
}

#[test]
fn a_silence_of_what_people_know_of_is_notified_when_it_ends_and_a_recovery_always() {
    let mut night = Night::new();
    notified(&mut night);
    assert_eq!(codes(&night.command(CommandKind::Silence, r#","matchers":["service=db"],"for":"10m""#)), ["silenced silenced"]);
    let silence = night.silence();
    assert_eq!(codes(&night.command(CommandKind::Expire, &format!(r#","silence":"{silence}""#))), ["updated silence_ended"]);
    night.command(CommandKind::Expire, &format!(r#","silence":"{silence}""#));
    assert!(night.answer().contains("ended at"), "{}", night.answer());
    night.command(CommandKind::Silence, r#","matchers":["service=db"],"for":"2h""#);
    night.alert(200, "resolved", "warning", "Down", "db");
    let over: Vec<Revision> = [201, 2_000].into_iter().flat_map(|at| night.until(at)).collect();
    assert_eq!(codes(&over).last().map(String::as_str), Some("resolved resolved"), "a pager must not stay open");
}

#[test]
fn of_two_silences_the_longer_wins() {
    let mut night = Night::new();
    night.until(-10);
    night.command(CommandKind::Silence, r#","matchers":["service=web"],"for":"10m""#);
    night.command(CommandKind::Silence, r#","matchers":["alertname=Down"],"for":"20m""#);
    let opened = night.fails(0, "web");
    assert_eq!(message(&opened[0])["silenced"].as_array().unwrap().len(), 2);
    assert!(opened[0].decision.to_string().ends_with("until 2026-03-14T00:19:50Z"), "{}", opened[0].decision);
    let shorter_ends = night.until(700);
    assert!(!shorter_ends.iter().any(|revision| revision.decision.is_sent()), "{:?}", codes(&shorter_ends));
    assert_eq!(codes(&night.until(1_200)), ["updated first_notification"]);
}

#[test]
fn what_is_not_silenced_is_notified_as_if_it_were_alone() {
    let mut night = Night::new();
    night.until(-10);
    night.command(CommandKind::Silence, r#","matchers":["severity=critical"],"for":"10h""#);
    let opened = night.alert(0, "firing", "critical", "Broken", "web");
    assert_eq!(codes(&later(&mut night, opened, &[1, 60, 100])), ["opened silenced"]);
    let revisions = night.fails(200, "web");
    let revisions = later(&mut night, revisions, &[201, 600]);
    assert!(codes(&revisions).iter().any(|code| code.ends_with("first_notification")), "{:?}", codes(&revisions));
    // Another silenced one makes nothing worse.
    let revisions = night.alert(1_000, "firing", "critical", "Worse", "web");
    let revisions = later(&mut night, revisions, &[1_001, 1_600]);
    assert!(!revisions.iter().any(|revision| revision.decision.is_sent()), "{:?}", codes(&revisions));
}

#[test]
fn a_silence_of_a_node_covers_what_depends_on_it() {
    let mut night = Night::over(&[("web", "cache"), ("cache", "db")]);
    night.until(-10);
    night.command(CommandKind::Maintenance, r#","node":"db","for":"1h","comment":"upgrade""#);
    let mut opened = night.fails(0, "web");
    opened.extend(night.fails(1, "other"));
    let mut seen: Vec<String> =
        opened.iter().map(|revision| format!("{} {}", revision.entity_names().join("+"), revision.decision.code())).collect();
    seen.sort();
    assert_eq!(seen, ["other waiting_for_related", "web maintenance"]);
    assert_eq!(
        message(&opened[0])["notify"]["reason"].as_str().map(|text| text.starts_with("under maintenance by ann")),
        Some(true)
    );
}

#[test]
fn a_silence_of_an_incident_covers_what_joins_it_and_ends_with_it() {
    let mut night = Night::new();
    let id = notified(&mut night);
    assert_eq!(codes(&night.command(CommandKind::Silence, &format!(r#","incident":"{id}""#))), ["silenced silenced"]);
    let joined = night.alert(100, "firing", "critical", "Down", "web");
    let joined = later(&mut night, joined, &[101, 600]);
    assert!(!joined.is_empty() && joined.iter().all(|revision| revision.decision.code() == "silenced"), "{:?}", codes(&joined));
    night.alert(700, "resolved", "warning", "Down", "db");
    night.alert(700, "resolved", "critical", "Down", "web");
    let over: Vec<Revision> = [701, 3_000].into_iter().flat_map(|at| night.until(at)).collect();
    assert_eq!(codes(&over).last().map(String::as_str), Some("resolved resolved"));
    night.until(3_001);
    assert!(night.engine.silences().all(|(_, state)| state == SilenceState::Expired));
}

#[test]
fn a_recurring_maintenance_holds_at_its_times() {
    let mut night = Night::new();
    night.until(-10);
    // Every hour at half past, for ten minutes.
    night.command(CommandKind::Maintenance, r#","matchers":["service=web"],"cron":"30 * * * *","duration":"10m""#);
    assert_eq!(night.answer(), "");
    let opened = night.fails(0, "web");
    let codes = codes(&later(&mut night, opened, &[1, 60, 1_800, 2_000, 2_400, 2_500]));
    assert_eq!(
        codes,
        ["opened waiting_for_related", "updated first_notification", "silenced maintenance", "updated silence_ended"]
    );
    night.command(CommandKind::Maintenance, r#","matchers":["service=web"],"cron":"0 0 30 2 *","duration":"10m""#);
    assert!(night.answer().contains("never come"), "{}", night.answer());
}

#[test]
fn a_silence_may_be_changed_but_not_into_another() {
    let mut night = Night::new();
    night.until(-10);
    night.command(CommandKind::Silence, r#","matchers":["service=web"],"for":"10m""#);
    let id = night.silence();
    night.command(CommandKind::Silence, &format!(r#","matchers":["service=web"],"for":"1h","silence":"{id}""#));
    assert_eq!((night.answer(), night.silence()), (String::new(), id.clone()));
    let opened = night.fails(0, "web");
    assert_eq!(codes(&later(&mut night, opened, &[1, 60, 700, 3_000])), ["opened silenced"]);
    night.command(CommandKind::Silence, &format!(r#","matchers":["service=shop"],"for":"1h","silence":"{id}""#));
    assert!(night.answer().contains("for other alerts"), "{}", night.answer());
    let replaced = night.command(CommandKind::Silence, &format!(r#","matchers":["service=shop"],"for":"1h","replaces":"{id}""#));
    assert_eq!(codes(&replaced), ["updated first_notification"]);
    assert_ne!(night.silence(), id);
}

#[test]
fn notes_and_owners_are_in_every_later_revision() {
    let mut night = Night::new();
    let id = notified(&mut night);
    let noted = night.command(CommandKind::Note, &format!(r#","incident":"{id}","comment":"the disk is full""#));
    assert_eq!(codes(&noted), ["noted nothing_new"]);
    let owned = night.command(CommandKind::Owner, &format!(r#","incident":"{id}","owner":"storage team""#));
    let shown = message(&owned[0]);
    assert_eq!((&shown["notes"][0]["text"], &shown["owner"]), (&"the disk is full".into(), &"storage team".into()));
    assert_eq!(shown["notes"][0]["by"], "ann");
}

#[test]
fn what_cannot_be_done_is_refused_with_its_reason() {
    let mut night = Night::new();
    let id = notified(&mut night);
    for (kind, fields, why) in [
        (CommandKind::Acknowledge, r#","incident":"inc-0000000000000000""#.into(), "there is no incident"),
        (CommandKind::Acknowledge, r#","incident":"x""#.into(), "is no incident"),
        (CommandKind::Acknowledge, format!(r#","incident":"{id}","until":{START_MS}"#), "would have run out"),
        (CommandKind::Acknowledge, format!(r#","incident":"{id}","at":{}"#, START_MS - 7_200_000), "is history"),
        (CommandKind::Silence, format!(r#","matchers":["a=b"],"to":{START_MS}"#), "would end at"),
        (CommandKind::Silence, r#","matchers":[],"for":"1h""#.into(), "nothing to silence"),
        (CommandKind::Expire, r#","silence":"7d5c2f0e-3a52-5d1b-9c55-0d9a3f1e7b42""#.into(), "there is no silence"),
        (CommandKind::Merge, format!(r#","incident":"{id}","with":"{id}""#), "same incident"),
        (CommandKind::Split, format!(r#","incident":"{id}","alerts":["0000000000000000"]"#), "has no alert"),
        (CommandKind::Move, format!(r#","alert":"0000000000000000","into":"{id}""#), "no incident has an alert"),
    ] {
        let revisions = night.command(kind, &fields);
        assert!(revisions.is_empty() && night.answer().contains(why), "{fields}: {}", night.answer());
    }
    let twice = format!(r#","incident":"{id}","id":"7d5c2f0e-3a52-5d1b-9c55-0d9a3f1e7b42","comment":"x""#);
    assert_eq!(night.command(CommandKind::Note, &twice).len(), 1);
    assert!(night.command(CommandKind::Note, &twice).is_empty(), "it counts once");
    let [.., first, second] = night.results.answers.as_slice() else { panic!("each was answered") };
    assert_eq!(first, second);
}

#[test]
fn a_late_acknowledgement_never_reopens() {
    let mut night = Night::new();
    let id = notified(&mut night);
    night.alert(100, "resolved", "warning", "Down", "db");
    night.until(1_000);
    assert!(night.command(CommandKind::Acknowledge, &format!(r#","incident":"{id}""#)).is_empty());
    assert!(night.answer().contains("was resolved at"), "{}", night.answer());
}

#[test]
fn an_incident_of_other_systems_alerts_is_resolved_by_hand() {
    let mut night = Night::new();
    let id = notified(&mut night);
    let resolved = night.command(CommandKind::Resolve, &format!(r#","incident":"{id}""#));
    let last = message(resolved.last().unwrap());
    assert_eq!(
        (&last["change"], &last["status"], &last["alerts"][0]["ended_because"]),
        (&"resolved".into(), &"resolved".into(), &"resolved_by_hand".into())
    );
    // What still fires is reported again, as other systems do.
    assert_eq!(codes(&night.fails(100, "db")), ["reopened reopened"]);
}

#[test]
fn incidents_are_put_together_and_taken_apart_by_hand() {
    let mut night = Night::over(&[]);
    let mut opened = night.fails(0, "web");
    opened.extend(night.fails(1, "mail"));
    let ids: Vec<String> = opened.iter().map(|revision| revision.id.to_string()).collect();
    assert_eq!(ids.len(), 2);
    let merged = night.command(CommandKind::Merge, &format!(r#","incident":"{}","with":"{}""#, ids[0], ids[1]));
    assert_eq!(codes(&merged), ["merged merged", "merged waiting_for_related"]);
    assert_eq!(message(&merged[1])["links"][0]["reason"], "put together by ann");
    // The older id still names it.
    assert_eq!(
        night.command(CommandKind::Note, &format!(r#","incident":"{}","comment":"one"#, ids[1]).replace("one", "one\"")).len(),
        1
    );
    let mail = merged[1].alerts.iter().find(|alert| alert.subject() == "mail").unwrap().fingerprint;
    let split = night.command(CommandKind::Split, &format!(r#","incident":"{}","alerts":["{mail}"]"#, ids[0]));
    assert_eq!(split.iter().map(|revision| revision.change.as_str()).collect::<Vec<_>>(), ["split", "split"]);
    let part = split.iter().find(|revision| revision.split_from.is_some()).unwrap().id;
    night.alert(10, "firing", "critical", "Broken", "mail");
    night.until(11);
    let moved = night.command(CommandKind::Move, &format!(r#","alert":"{mail}","into":"{}""#, ids[0]));
    assert_eq!((night.answer(), moved.len()), (String::new(), 2));
    let into = moved.iter().find(|revision| revision.id.to_string() == ids[0]).unwrap();
    assert_eq!(into.entity_names(), ["mail", "web"]);
    assert!(moved.iter().any(|revision| revision.id == part));
}

#[test]
fn no_field_of_an_event_makes_a_command() {
    let mut decoder = Decoder::new(&LabelKeys::default(), i64::MAX);
    for body in [
        r#"{"kind":"command","command":"silence","by":"eve","matchers":["a=b"],"for":"1h","ts":1773446400000}"#,
        r#"{"kind":"commands","command":"acknowledge","by":"eve","incident":"inc-0000000000000000","ts":1773446400000}"#,
        r#"{"kind":"silence","by":"eve","matchers":["a=b"],"for":"1h","ts":1773446400000}"#,
    ] {
        let mut reasons = Vec::new();
        decoder.message(body.as_bytes(), MessageInfo::default(), &mut |bad| reasons.push(bad.reason.code()));
        assert_eq!(reasons, ["kind"], "{body}");
    }
    assert!(decoder.take().commands.is_empty());
}

#[test]
fn what_comes_before_the_first_event_waits_for_it() {
    let mut night = Night::new();
    night.command(CommandKind::Silence, r#","matchers":["service=web"],"for":"10m""#);
    assert!(night.results.answers.is_empty());
    let opened = night.fails(0, "web");
    assert_eq!(codes(&later(&mut night, opened, &[1])), ["opened silenced"]);
    assert_eq!(night.answer(), "");
}

/// A night with commands: what was read, in order, each with the kind of command that its subject names.
fn recorded() -> Vec<(Option<CommandKind>, String)> {
    let at = |at_s: i64| START_MS + at_s * 1000;
    let alert = |at_s: i64, status: &str, severity: &str, service: &str| {
        let fields = format!(r#""kind":"alert","name":"Down","status":"{status}","severity":"{severity}","service":"{service}""#);
        (None, format!("{{\"ts\":{},{fields}}}", at(at_s)))
    };
    let quiet = |at_s: i64| (None, format!(r#"{{"ts":{},"kind":"log","body":"all is well"}}"#, at(at_s)));
    let command = |kind, fields: &str| (Some(kind), format!("{{\"by\":\"ann\"{fields}}}"));
    let id = notified(&mut Night::new());
    vec![
        command(CommandKind::Silence, r#","matchers":["service=shop"],"for":"10m""#),
        alert(0, "firing", "warning", "db"),
        quiet(2),
        quiet(60),
        command(CommandKind::Note, &format!(r#","incident":"{id}","comment":"looking""#)),
        alert(70, "firing", "critical", "shop"),
        quiet(80),
        command(CommandKind::Acknowledge, &format!(r#","incident":"{id}","for":"30m""#)),
        command(CommandKind::Maintenance, r#","node":"db","cron":"20 * * * *","duration":"5m""#),
        command(CommandKind::Acknowledge, r#","incident":"inc-0000000000000000""#),
        quiet(700),
        alert(1_000, "firing", "critical", "db"),
        quiet(1_300),
        quiet(2_000),
        alert(2_500, "resolved", "critical", "db"),
        alert(2_500, "resolved", "critical", "shop"),
        quiet(4_000),
    ]
}

fn decode(decoder: &mut Decoder, (kind, text): &(Option<CommandKind>, String)) {
    let info = MessageInfo { command: kind.map(CommandOrigin::Subject), ..MessageInfo::default() };
    decoder.message(text.as_bytes(), info, &mut |bad| panic!("{text}: {}", bad.reason));
}

fn lines(revisions: &[Revision], results: &CommandResults) -> String {
    let revisions = revisions.iter().map(incident_message::to_json);
    let answers = results.answers.iter().map(|answer| format!("{answer:?}"));
    revisions.chain(answers).map(|line| line + "\n").collect()
}

/// One process, so many messages a step, restarted after every `restart` of them.
fn alone(batch_of: usize, restart: Option<usize>) -> String {
    let mut night = Night::new();
    let mut revisions = Vec::new();
    for (step, batch) in recorded().chunks(batch_of).enumerate() {
        batch.iter().for_each(|message| decode(&mut night.decoder, message));
        revisions.extend(night.step());
        if restart.is_some_and(|every| step % every == 0) {
            let saved = night.engine.save().unwrap().into_loaded().unwrap();
            let fresh = Night::new();
            night.engine = fresh.engine;
            assert!(night.engine.restore(&saved).unwrap().is_empty());
        }
    }
    assert!(!night.results.silences.is_empty());
    lines(&revisions, &night.results)
}

/// Two workers read, each message is one of theirs, and one engine decides.
fn shared() -> String {
    let mut night = Night::new();
    night.engine = night.engine.with_partitions(2);
    let params = EngineParams { lateness_ms: 0, ..EngineParams::default() };
    let mut workers: Vec<PartitionCounter> = (0..2).map(|_| PartitionCounter::new(Vec::new(), &params, 0, 0).unwrap()).collect();
    let mut revisions = Vec::new();
    for (at, messages) in recorded().chunks(3).enumerate() {
        for (nth, message) in messages.iter().enumerate() {
            let sequence = (at * 3 + nth + 1) as u64;
            decode(&mut night.decoder, message);
            workers[sequence as usize % 2].ingest(&night.decoder.take(), &[sequence]);
        }
        for (partition, worker) in workers.iter_mut().enumerate() {
            let bytes = worker.flush((at * 3 + messages.len()) as u64, None).unwrap().to_bytes().unwrap();
            let partial = PartialResult::from_bytes(&bytes).unwrap();
            revisions.extend(night.engine.step(Input::Partial { partition, position: at as u64, partial: &partial }));
        }
    }
    let results = night.engine.take_command_results();
    lines(&revisions, &results)
}

#[test]
fn commands_come_to_the_same_in_whatever_batches_after_restarts_and_from_workers() {
    let want = alone(1, None);
    for needle in [r#""change":"silenced""#, r#""change":"acknowledged""#, r#""change":"noted""#, "there is no incident"] {
        assert!(want.contains(needle), "{needle}: {want}");
    }
    for (batch_of, restart) in [(3, None), (100, None), (1, Some(1)), (2, Some(3))] {
        assert_eq!(alone(batch_of, restart), want, "in batches of {batch_of}, restarts {restart:?}");
    }
    assert_eq!(shared(), want, "from workers");
}
