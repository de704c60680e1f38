//! What becomes of an incident when the graph changes under it, and what ties alerts besides the graph.

use std::sync::Arc;

use squelch::alert::EndReason;
use squelch::engine::{Engine, EngineParams, Input};
use squelch::incident::revision::Revision;
use squelch::incident::status::Status;
use squelch::io::decode::decoder::Decoder;
use squelch::io::decode::message_info::MessageInfo;
use squelch::model::event::LabelKeys;
use squelch::rule::check::from_texts;
use squelch::topology::definition::TopologySource;
use squelch::topology::{Edge, Topology, TopologyDefinition};

const START_MS: i64 = 1_773_446_400_000;

/// An engine without rules: other systems' alerts are all that comes.
struct Night {
    engine: Engine,
    decoder: Decoder,
}

impl Night {
    fn new(edges: &[(&str, &str)], params: &EngineParams) -> Self {
        let engine = Engine::new(Vec::new(), Topology::new(parts(edges)), params).unwrap();
        Self { engine, decoder: Decoder::new(&LabelKeys::default(), i64::MAX) }
    }

    /// With a rule that fires when a service was slow for a minute.
    fn with_a_rule(edges: &[(&str, &str)]) -> Self {
        let rule = "/*---\nrule: slow\nseverity: critical\nwindow: 10s\nevery: 10s\nfor: 1m\n---*/\n\
                    SELECT env, service, max(value) AS value FROM metrics GROUP BY env, service HAVING value > 1";
        let book = from_texts(vec![("slow.sql".into(), Arc::from(rule))]).unwrap_or_else(|wrong| panic!("{wrong}"));
        let decoder = Decoder::new(&book.label_keys, i64::MAX);
        Self { engine: Engine::new(book.rules, Topology::new(parts(edges)), &EngineParams::default()).unwrap(), decoder }
    }

    /// A service takes so many seconds for an answer.
    fn takes(&mut self, at_s: i64, service: &str, seconds: f64) -> Vec<Revision> {
        let ts = START_MS + at_s * 1000;
        let line = format!(r#"{{"kind":"metric","ts":{ts},"name":"took","value":{seconds},"service":"{service}"}}"#);
        self.decoder.message(line.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{}", bad.reason));
        self.engine.step(Input::Events(&self.decoder.take()))
    }

    fn says(&mut self, at_s: i64, status: &str, service: &str, more: &str) -> Vec<Revision> {
        let ts = START_MS + at_s * 1000;
        let line = format!(
            r#"{{"kind":"alert","ts":{ts},"name":"Down","status":"{status}","severity":"critical","service":"{service}"{more}}}"#
        );
        self.decoder.message(line.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{}", bad.reason));
        self.engine.step(Input::Events(&self.decoder.take()))
    }

    fn fails(&mut self, at_s: i64, service: &str) -> Vec<Revision> {
        self.says(at_s, "firing", service, "")
    }

    fn recovers(&mut self, at_s: i64, service: &str) -> Vec<Revision> {
        self.says(at_s, "resolved", service, "")
    }

    /// Time passes: something that matters to nobody is seen.
    fn until(&mut self, at_s: i64) -> Vec<Revision> {
        let line = format!(r#"{{"kind":"log","ts":{},"body":"all is well"}}"#, START_MS + at_s * 1000);
        self.decoder.message(line.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{}", bad.reason));
        self.engine.step(Input::Events(&self.decoder.take()))
    }

    fn graph(&mut self, edges: &[(&str, &str)]) {
        let revisions = self.engine.step(Input::Topology { source: TopologySource::File, parts: parts(edges) });
        assert!(revisions.is_empty(), "a graph by itself is no news");
    }
}

fn parts(edges: &[(&str, &str)]) -> TopologyDefinition {
    TopologyDefinition { nodes: Vec::new(), edges: edges.iter().map(|(from, to)| Edge::calls(from, to)).collect() }
}

/// `change entities sent` of each.
fn told(revisions: &[Revision]) -> Vec<String> {
    let one = |revision: &Revision| {
        let sent = if revision.decision.is_sent() { "sent" } else { "silent" };
        format!("{} {} {sent}: {}", revision.change.as_str(), revision.entity_names().join("+"), revision.decision)
    };
    revisions.iter().map(one).collect()
}

/// Two services fail, tied by one edge; the edge turns out to be wrong.
#[test]
fn an_incident_falls_apart_when_its_edge_is_gone() {
    let mut night = Night::new(&[("web", "db"), ("web", "cart"), ("shop", "mail")], &EngineParams::default());
    let mut before = night.fails(0, "db");
    before.extend(night.fails(5, "web"));
    before.extend(night.fails(8, "cart"));
    before.extend(night.until(100));
    let whole = before.last().unwrap().clone();
    assert_eq!(whole.entity_names(), ["cart", "db", "web"], "{:?}", told(&before));
    assert_eq!(night.engine.open_incidents(), 1);

    night.graph(&[("web", "cart"), ("web", "db"), ("shop", "mail"), ("shop", "cart")]);
    assert!(night.until(110).is_empty(), "every edge that it stands on is there");
    night.graph(&[("web", "cart"), ("shop", "mail")]);
    let apart = night.until(120);
    assert_eq!(
        told(&apart.iter().filter(|revision| revision.id == whole.id).cloned().collect::<Vec<_>>()),
        ["split db silent: nothing new"]
    );
    let part = apart.iter().find(|revision| revision.id != whole.id).unwrap().clone();
    assert_eq!((part.revision, part.split_from, part.entity_names()), (1, Some(whole.id), vec!["cart", "web"]));
    assert_eq!(part.root_cause().unwrap().entity.as_ref(), "cart");
    assert_eq!(night.engine.open_incidents(), 2);

    // Each goes on by itself: the part is told, what comes to it joins it, and it ends when its own alerts end.
    let mut after = night.until(200);
    after.extend(night.fails(210, "cart"));
    after.extend(night.recovers(300, "cart"));
    after.extend(night.recovers(301, "web"));
    after.extend(night.until(900));
    let of_part: Vec<Revision> = after.iter().filter(|revision| revision.id == part.id).cloned().collect();
    assert!(told(&of_part).contains(&"updated cart+web sent: first notification".to_string()), "{:?}", told(&of_part));
    assert!(told(&of_part).last().unwrap().starts_with("resolved cart+web sent"), "{:?}", told(&of_part));
    assert_eq!(night.engine.open_incidents(), 1);
    assert!(after.iter().all(|revision| revision.id == part.id || revision.entity_names() == ["db"]), "{:?}", told(&after));
}

/// An edge goes, and something else still ties what it tied: another way, or another edge that came with the change.
#[test]
fn what_is_tied_in_another_way_stays_together() {
    let mut night = Night::new(&[("web", "db"), ("web", "cart"), ("cart", "db")], &EngineParams::default());
    night.fails(0, "db");
    night.fails(5, "web");
    night.until(100);
    night.graph(&[("web", "cart"), ("cart", "db")]);
    assert!(night.until(120).is_empty(), "web depends on db by way of cart");

    let mut night = Night::new(&[("web", "db"), ("shop", "db")], &EngineParams::default());
    night.fails(0, "shop");
    night.fails(5, "web");
    let before = night.until(100);
    assert!(before.last().unwrap().links[0].reason.contains("both depend on db"), "{:?}", told(&before));
    night.graph(&[("shop", "web")]);
    let after = night.until(120);
    assert_eq!((after.len(), night.engine.open_incidents()), (1, 1), "{:?}", told(&after));
    let links: Vec<_> = after[0].links.iter().map(|link| (link.reason.as_str(), link.topology_version)).collect();
    assert_eq!(links, [("shop depends on web (directly), which failed 5s after it", 2)]);
}

/// What was one incident when the process ended is looked at on the graph that it begins with.
#[test]
fn a_restart_with_another_graph_splits_too() {
    let params = EngineParams::default();
    let mut night = Night::new(&[("web", "db")], &params);
    night.fails(0, "db");
    night.fails(5, "web");
    night.until(100);
    let kept = night.engine.save().unwrap().into_loaded().unwrap();
    let mut other = Night::new(&[("web", "cart")], &params);
    other.engine.restore(&kept).unwrap();
    let apart = other.until(120);
    let changes: Vec<&str> = apart.iter().map(|revision| revision.change.as_str()).collect();
    assert_eq!(changes, ["split", "split"], "{:?}", told(&apart));
    let mut same = Night::new(&[("web", "db")], &params);
    same.engine.restore(&kept).unwrap();
    assert!(same.until(120).is_empty());
}

/// A label that the operator named ties what no edge ties; without it, or with another value, they are strangers.
#[test]
fn a_named_label_ties_strangers() {
    let mut params = EngineParams::default();
    let run = |params: &EngineParams| {
        let mut night = Night::new(&[("web", "db"), ("shop", "mail")], params);
        let release = |name: &str| format!(r#","labels":{{"release":"{name}"}}"#);
        night.says(0, "firing", "web", &release("r7"));
        night.says(10, "firing", "shop", &release("r7"));
        night.says(20, "firing", "mail", &release("r8"));
        night.says(30, "firing", "elsewhere", "");
        let last = night.until(100);
        (night.engine.open_incidents(), last)
    };
    assert_eq!(run(&params).0, 3, "shop and mail are tied by their edge");
    params.correlation.keys = vec!["release".into()];
    let (open, last) = run(&params);
    assert_eq!(open, 2, "{:?}", told(&last));
    let tied = last.iter().find(|revision| revision.entity_names().contains(&"web")).unwrap();
    assert_eq!(tied.entity_names(), ["mail", "shop", "web"]);
    assert!(tied.links.iter().any(|link| link.reason == "shop and web share release=r7"), "{:?}", tied.links);
}

/// The page waits while what the failing service depends on may be failing: it then names the cause at once.
#[test]
fn a_dependent_is_held_back_while_its_dependency_may_be_failing() {
    let mut night = Night::with_a_rule(&[("web", "db"), ("shop", "mail")]);
    let mut revisions = Vec::new();
    // The database is slow from the start; its rule waits a minute to be sure. The service above it fails at once.
    for at_s in (0..200).step_by(5) {
        revisions.extend(night.takes(at_s, "db", 9.0));
        if at_s == 20 {
            revisions.extend(night.fails(at_s, "web"));
        }
    }
    let said = told(&revisions);
    assert!(
        said.iter()
            .any(|line| line.starts_with("updated web silent: held until 00:01:20: db may be failing, and web depends on it")),
        "{said:?}"
    );
    let first = revisions.iter().find(|revision| revision.decision.is_sent()).unwrap();
    assert_eq!(
        (first.decision.to_string().as_str(), first.entity_names()),
        ("first notification", vec!["db", "web"]),
        "{said:?}"
    );
    assert_eq!(first.root_cause().unwrap().entity.as_ref(), "db");
}

/// It waits no longer than `hold`, and not at all for what it does not depend on.
#[test]
fn nothing_is_held_back_for_long() {
    let first_page_at = |slow: &str, until_s: i64| {
        let mut night = Night::with_a_rule(&[("web", "db"), ("shop", "mail")]);
        let mut revisions = night.takes(0, slow, 0.1);
        for at_s in (5..300).step_by(5) {
            // It is slow for a while, never long enough to fire.
            let seconds = if (50..until_s).contains(&at_s) { 9.0 } else { 0.1 };
            revisions.extend(night.takes(at_s, slow, seconds));
            if at_s == 60 {
                revisions.extend(night.fails(at_s, "web"));
            }
        }
        let first =
            revisions.iter().find(|revision| revision.decision.is_sent()).unwrap_or_else(|| panic!("{:?}", told(&revisions)));
        assert_eq!(first.entity_names(), ["web"]);
        (first.updated_at - START_MS) / 1000
    };
    assert_eq!(first_page_at("mail", 100), 90, "web does not depend on mail");
    assert_eq!(first_page_at("db", 100), 120, "held back, and told all the same");
    assert_eq!(first_page_at("db", 50), 90, "nothing is slow");
}

/// What goes on and off is muted; what fails anew after a while, or something else, is not.
#[test]
fn only_what_flaps_is_muted() {
    let sent = |pause_s: i64, last: &str| {
        let mut night = Night::new(&[("web", "db")], &EngineParams::default());
        let mut revisions = Vec::new();
        let mut at_s = 0;
        for _ in 0..5 {
            revisions.extend(night.fails(at_s, "web"));
            revisions.extend(night.recovers(at_s + 60, "web"));
            revisions.extend(night.until(at_s + 60 + pause_s));
            at_s += 60 + pause_s;
        }
        revisions.extend(night.fails(at_s, last));
        revisions.extend(night.until(at_s + 400));
        let sent = revisions.into_iter().filter(|revision| revision.decision.is_sent()).collect::<Vec<_>>();
        (sent.len(), told(&sent).pop().unwrap())
    };
    let (flapping, last) = sent(120, "web");
    assert_eq!((flapping, last.as_str()), (6, "resolved web sent: resolved"), "paged, back and back again; then it flaps");
    let (with_another, last) = sent(120, "db");
    assert!(with_another == 7 && last.contains("db"), "{with_another}: {last}");
    let (slow, last) = sent(600, "web");
    assert_eq!((slow, last.as_str()), (11, "reopened web sent: failing again after it was resolved"), "each time a new failure");
}

/// Two services that no graph ties fail together again and again: the fourth time they are one incident, and it says why. One that
/// fails as often by itself stays by itself.
#[test]
fn those_who_always_fail_together_are_tied_by_it() {
    let mut params = EngineParams::default();
    let incidents_each_time = |params: &EngineParams| {
        let mut night = Night::new(&[], params);
        let mut each = Vec::new();
        let mut last = Vec::new();
        for hour in 0..5 {
            let at_s = hour * 7_200;
            night.fails(at_s, "web");
            night.fails(at_s + 30, "mail");
            if hour == 2 {
                night.fails(at_s + 40, "batch");
            }
            last = night.until(at_s + 200);
            each.push(night.engine.open_incidents());
            for service in ["web", "mail", "batch"] {
                night.recovers(at_s + 300, service);
            }
            night.until(at_s + 3_600);
        }
        (each, last)
    };
    let (each, last) = incidents_each_time(&params);
    assert_eq!(each, [2, 2, 3, 1, 1], "{:?}", told(&last));
    assert_eq!(last.last().unwrap().links[0].reason, "mail and web failed together 4 of the 4 times before");
    params.correlation.together = 0;
    assert_eq!(incidents_each_time(&params).0, [2, 2, 3, 2, 2]);
}

/// What speaks for an entity as the cause, of the newest revision.
fn reasons(revision: &Revision, entity: &str) -> Vec<String> {
    let candidate = revision.candidates.iter().find(|candidate| candidate.entity.as_ref() == entity);
    candidate.unwrap_or_else(|| panic!("{entity} is none of {:?}", revision.candidates)).reasons.clone()
}

/// Of what began at one instant nobody knows the order.
#[test]
fn who_failed_with_others_is_not_called_the_first() {
    let graph = [("web", "db"), ("shop", "db")];
    let mut night = Night::new(&graph, &EngineParams::default());
    night.fails(0, "db");
    assert_eq!(reasons(&night.until(11)[0], "db"), ["no other entity fails", "its worst alert is critical"]);

    let mut night = Night::new(&graph, &EngineParams::default());
    night.fails(0, "web");
    night.fails(0, "db");
    let both = night.until(60).pop().unwrap();
    assert_eq!(
        reasons(&both, "db"),
        [
            "the other failing entity depends on it",
            "it depends on nothing that the topology knows",
            "both began at the same time",
            "its worst alert is critical"
        ]
    );
    assert_eq!(reasons(&both, "web")[2], "both began at the same time");
    night.fails(90, "shop");
    let later = night.until(101).pop().unwrap();
    assert_eq!(reasons(&later, "db")[2], "it was among the first to fail: 1 more began at the same time");
    assert_eq!(reasons(&later, "shop")[2], "it failed 1m 30s after the first");

    let mut night = Night::new(&graph, &EngineParams::default());
    night.fails(0, "db");
    night.fails(60, "web");
    let first = night.until(71).pop().unwrap();
    assert_eq!(reasons(&first, "db")[2], "it was the first to fail");
}

/// What the topology does not know is not said to depend on nothing.
#[test]
fn an_entity_without_a_place_in_the_graph_is_told_as_such() {
    let mut night = Night::new(&[("web", "db")], &EngineParams::default());
    night.fails(0, "batch");
    let stranger = night.until(11);
    assert_eq!(
        reasons(&stranger[0], "batch"),
        ["no other entity fails", "it is not in the topology", "its worst alert is critical"]
    );
}

/// Title and summary are all that some notifiers show: cause, symptoms, since when, how bad, and how sure.
#[test]
fn title_and_summary_tell_what_a_woken_person_needs() {
    let graph = [("web", "db"), ("shop", "db"), ("mail", "db"), ("app", "db")];
    let mut night = Night::new(&graph, &EngineParams::default());
    let summary = |text: &str| format!(r#","annotations":{{"summary":"{text}"}}"#);
    night.says(0, "firing", "db", &summary("db: no connections left"));
    let opened = night.until(11).pop().unwrap();
    assert_eq!(opened.title, "db: no connections left");
    assert_eq!(opened.summary, "Critical in default since 00:00:00 UTC. Likeliest cause: db.");
    night.says(20, "firing", "web", &summary("web: 60% of requests fail"));
    for (at_s, service) in [(21, "shop"), (22, "mail"), (23, "app")] {
        night.fails(at_s, service);
    }
    let page = night.until(40).pop().unwrap();
    assert!(page.decision.is_sent(), "{}", page.decision);
    assert_eq!(
        page.summary,
        "Critical in default since 00:00:00 UTC. Likeliest cause: db. Also failing: web: 60% of requests fail; Down; Down; and 1 more."
    );
    night.recovers(300, "db");
    night.recovers(301, "web");
    night.recovers(302, "shop");
    let recovering = night.until(313).pop().unwrap();
    assert_eq!(
        recovering.summary,
        "Critical in default since 00:00:00 UTC. Likeliest cause: db, which has recovered. \
         Also failing: Down. Recovered: shop, web."
    );
    assert_eq!(recovering.title, "Down", "what fails now, not what has recovered");
    night.recovers(320, "mail");
    night.recovers(321, "app");
    let over = night.until(500).pop().unwrap();
    assert_eq!(
        over.summary,
        "Critical in default from 00:00:00 to 00:05:21 UTC. Likeliest cause: db. \
         Also failed: app, mail, shop and 1 more."
    );
}

/// Another system reports another alert of a service.
fn reports(night: &mut Night, at_s: i64, name: &str, severity: &str, service: &str) -> Vec<Revision> {
    let ts = START_MS + at_s * 1000;
    let line = format!(
        r#"{{"kind":"alert","ts":{ts},"name":"{name}","status":"firing","severity":"{severity}","service":"{service}"}}"#
    );
    night.decoder.message(line.as_bytes(), MessageInfo::default(), &mut |bad| panic!("{}", bad.reason));
    night.engine.step(Input::Events(&night.decoder.take()))
}

fn sent(revisions: &[Revision]) -> Vec<(String, String)> {
    let sent = revisions.iter().filter(|revision| revision.decision.is_sent());
    sent.map(|revision| (revision.decision.to_string(), revision.title.clone())).collect()
}

/// A second, unrelated critical fault on an entity that people know to fail is notified at once, and by its own name.
#[test]
fn a_second_fault_on_a_known_host_is_notified() {
    let mut night = Night::new(&[], &EngineParams::default());
    let mut all = reports(&mut night, 0, "BackupFailed", "critical", "h1");
    all.extend(night.until(1_400));
    all.extend(reports(&mut night, 1_500, "RaidDegraded", "critical", "h1"));
    all.extend(night.until(1_520));
    let pair = |reason: &str, title: &str| (reason.to_string(), title.to_string());
    assert_eq!(sent(&all), [pair("first notification", "BackupFailed"), pair("new fault: RaidDegraded on h1", "RaidDegraded")]);
    let last = all.iter().rfind(|revision| revision.decision.is_sent()).unwrap();
    assert!(last.summary.contains("Also failing: BackupFailed."), "{}", last.summary);
    // The repetition names the worst that fails, and the other with it.
    let repeated = night.until(1_500 + 4 * 3_600 - 60);
    let repeated = repeated.iter().find(|revision| revision.decision.is_sent());
    assert!(repeated.is_none(), "other systems' alerts expire before it is due: {repeated:?}");
}

/// What is less severe than the incident is not worth a message of its own; what is as severe waits for the interval while the outage unfolds.
#[test]
fn a_related_fault_waits_and_a_lesser_one_is_only_in_the_record() {
    let mut night = Night::new(&[], &EngineParams::default());
    let mut all = reports(&mut night, 0, "ErrorRate", "critical", "chat");
    all.extend(reports(&mut night, 100, "LogErrors", "warning", "chat"));
    all.extend(reports(&mut night, 110, "Latency", "critical", "chat"));
    all.extend(night.until(300));
    assert_eq!(sent(&all).len(), 1, "{:?}", sent(&all));
    all.extend(night.until(400));
    let sent = sent(&all);
    assert_eq!(sent.last().unwrap().0, "new fault: Latency on chat");
    assert_eq!(sent.len(), 2);
}

/// Another system that falls silent has not said that all is well.
#[test]
fn an_alert_that_expires_is_not_called_resolved() {
    let params = EngineParams { external_expiry_ms: 600_000, ..EngineParams::default() };
    let mut night = Night::new(&[], &params);
    let mut all = reports(&mut night, 0, "DiskFull", "critical", "h1");
    all.extend(night.until(900));
    let last = all.last().unwrap();
    assert_eq!((last.status, last.decision.code()), (Status::Resolved, "ended_unknown"));
    assert!(last.summary.contains("Nobody knows that all is well"), "{}", last.summary);
    assert_eq!(last.alerts[0].ended_because(), Some(EndReason::Expired));
}

/// A ranking that decides little says so.
#[test]
fn a_cause_that_is_hardly_likelier_than_the_next_is_told_with_it() {
    // Each depends on the other: only the time between them speaks for one.
    let mut night = Night::new(&[("cart", "shop"), ("shop", "cart")], &EngineParams::default());
    night.fails(0, "shop");
    night.fails(10, "cart");
    let page = night.until(40).pop().unwrap();
    assert!(page.summary.contains(" Likeliest cause: shop, or nearly as likely cart."), "{}", page.summary);
}

/// What an entity reaches only through the other is no tie between them beyond the one that they have.
#[test]
fn what_one_reaches_through_the_other_is_not_what_they_share() {
    let mut night = Night::new(&[("web", "shop"), ("shop", "db")], &EngineParams::default());
    night.fails(0, "web");
    night.fails(170, "shop");
    let tied = night.until(200).pop().unwrap();
    assert_eq!(tied.links.len(), 1);
    assert_eq!(tied.links[0].reason, "web depends on shop (directly), which failed 2m 50s after it");

    // A cause that shows much later than its symptom did not cause it, whatever lies below both.
    let mut night = Night::new(&[("web", "shop"), ("shop", "db")], &EngineParams::default());
    night.fails(0, "web");
    night.fails(235, "shop");
    night.until(246);
    assert_eq!(night.engine.open_incidents(), 2);
}
